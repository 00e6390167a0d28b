//! The style sheet, the one script and the icon: part of the binary, under names that carry their hash, so that a
//! browser keeps them for ever and never mixes two releases.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use msp_contracts::canonical::sha256_hex;
use std::sync::LazyLock;

const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// One file.
pub(super) struct Asset {
    /// Its path on this server.
    pub(super) path: String,
    media_type: HeaderValue,
    content: &'static [u8],
}

/// All of them.
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) script: Asset,
    pub(super) icon: Asset,
}

pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new("dashboard", "css", "text/css; charset=utf-8", include_bytes!("../../assets/dashboard.css")),
    script: Asset::new("live", "js", "text/javascript; charset=utf-8", include_bytes!("../../assets/live.js")),
    icon: Asset::new("icon", "svg", "image/svg+xml", include_bytes!("../../assets/icon.svg")),
});

impl Asset {
    fn new(name: &str, extension: &str, media_type: &'static str, content: &'static [u8]) -> Self {
        let hash = sha256_hex(content);
        let path = format!("/assets/{name}-{}.{extension}", hash.get(..16).unwrap_or_default());
        Self { path, media_type: HeaderValue::from_static(media_type), content }
    }
}

pub(super) async fn serve(Path(name): Path<String>) -> Response {
    let Assets { style, script, icon } = &*ASSETS;
    let found = [style, script, icon].into_iter().find(|asset| asset.path.strip_prefix("/assets/") == Some(&name));
    match found {
        Some(asset) => {
            ([(CONTENT_TYPE, asset.media_type.clone()), (CACHE_CONTROL, FOR_EVER)], asset.content).into_response()
        }
        None => super::frame::message(
            StatusCode::NOT_FOUND,
            "No such file",
            "Load the page again: a newer release may run now.",
        ),
    }
}
