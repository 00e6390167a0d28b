//! Who asks for a change: their name stands in orders, on pages and in evidence.

use clap::Args;

/// Who asks.
#[derive(Debug, Args)]
pub(super) struct By {
    /// Who asks for it; the logged-in user unless given
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        hide_env_values = true,
        default_value = "the command line",
        hide_default_value = true
    )]
    by: String,
}

impl By {
    pub(super) fn name(&self) -> &str {
        &self.by
    }
}
