//! The command line of `msp-winsim`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use msp_winsim::Profile;

/// A simulated Windows server: WinRM over TLS and over plain HTTP, and a drift interface on loopback.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Option<Args>,
}

/// What the program does other than serve.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Parse PowerShell scripts, and say what keeps each from being run here; exit code 1 if anything does
    Parse {
        /// The scripts
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// What a server is started with.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What kind of server to be
    #[arg(long, value_enum, default_value = "member")]
    pub(crate) profile: Profile,
    /// Address and port of WinRM over TLS, with NTLM or Basic; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:5986", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    /// Also take WinRM over plain HTTP there, with NTLM and sealed messages only [usually port 5985]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<SocketAddr>,
    /// Plain HTTP at this port of 127.0.0.1: all that a client by hand needs; without a certificate there is no TLS beside it
    #[arg(long, value_name = "PORT", conflicts_with = "http")]
    pub(crate) port: Option<u16>,
    /// Address and port of the drift interface; loopback only
    #[arg(long, default_value = "127.0.0.1:5987", value_name = "ADDRESS:PORT")]
    pub(crate) drift: SocketAddr,
    /// The computer's name
    #[arg(long, default_value = "WIN01")]
    pub(crate) hostname: String,
    /// The account that may log on
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) user: String,
    /// A file with the account's password; a line end after it is ignored
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: PathBuf,
    /// Certificate chain, in PEM; or let --tls-dir have one made
    #[arg(long, value_name = "FILE", requires = "key", required_unless_present_any = ["tls_dir", "port", "http"])]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Folder to make ca.pem, cert.pem and key.pem in, for the listen address and the host name
    #[arg(long, value_name = "DIR", conflicts_with_all = ["cert", "key"])]
    pub(crate) tls_dir: Option<PathBuf>,
    /// Exit when standard input ends, so that no server outlives the process that started it
    #[arg(long)]
    pub(crate) exit_with_stdin: bool,
}

const EXAMPLES: &str = "\
Examples:
  msp-winsim --profile dc --port 5985 --user Administrator --password-file /run/winsim/password

  printf 'Correct-Horse-9' > /run/winsim/password
  msp-winsim --profile dc --hostname DC01 --listen 127.0.0.3:5986 --http 127.0.0.3:5985 \\
    --drift 127.0.0.3:5987 --user Administrator --password-file /run/winsim/password \\
    --tls-dir /run/winsim/tls

When it serves, it prints one line of JSON:
  {\"ready\":true,\"winrm\":\"127.0.0.3:5986\",\"winrm_http\":\"127.0.0.3:5985\",\"drift\":\"127.0.0.3:5987\",
   \"hostname\":\"DC01\",\"profile\":\"dc\"}

Then something can go wrong, and the state and every change can be read:
  curl -d '{\"kind\":\"firewall_profile_off\",\"profile\":\"Public\"}' http://127.0.0.3:5987/drift
  curl http://127.0.0.3:5987/state
  curl http://127.0.0.3:5987/ledger

The log goes to standard error; RUST_LOG chooses its detail (RUST_LOG=msp_winsim=debug).";

/// The password in a file.
pub(crate) fn read_password(path: &Path) -> anyhow::Result<String> {
    use anyhow::Context;
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("reading the password from {}: write it there, readable by this account only", path.display())
    })?;
    let password = text.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(
        !password.is_empty(),
        "the password file {} is empty: write the account's password into it",
        path.display()
    );
    Ok(password.to_owned())
}
