//! Doors for `cargo measure`, and for nothing else: the parts whose speed is promised, as the agent itself uses them.

use crate::adapters::inventory::{Access, Server};
use crate::adapters::winrm::WindowsHost;
use crate::clock::{Clock, SystemClock};
use crate::config::credentials::Credentials;
use crate::model::{CheckKind, Observation, Phase};
use crate::prove::bundle::Draft;
use crate::prove::chain::{self, Signer};
use crate::prove::verify::{self, Expected};
use crate::sense::windows;
use crate::store::{Store, open_for_reading, outbox};
use jiff::{SignedDuration, Timestamp};
use msp_contracts::evidence::{DeploymentMode, Target};
use msp_contracts::finding::{CheckStatus, Platform, Severity};
use msp_contracts::keys::{SigningKey, VerifyingKey};
use msp_rules::Catalogue;
use serde_json::{Value, json};
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;

/// What a measured part says when it fails.
pub type Failed = Box<dyn Error + Send + Sync>;

/// How many bundles of a chain are stored in one transaction while it is made.
const TOGETHER: u32 = 500;

/// The agent's outbox, behind the one writing thread with its group commit.
#[derive(Debug, Clone)]
pub struct Outbox {
    store: Store,
}

impl Outbox {
    /// Opens the state in `folder`, or begins one.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, Failed> {
        Ok(Self { store: Store::open_or_set_aside(folder, now)? })
    }

    /// Owes a report, and returns when it is on the disk.
    ///
    /// # Errors
    /// When it could not be stored.
    pub async fn owe(&self, key: String, body: Arc<Value>, now: Timestamp) -> Result<(), Failed> {
        let work = move |db: &_| outbox::owe(db, outbox::Kind::Execution, &key, "/executions", body.as_ref(), now);
        Ok(self.store.write(work).await?)
    }
}

/// Fills the state in `folder` with a chain of so many bundles, each a change of a check's status.
///
/// # Errors
/// When it cannot be stored.
pub async fn make_chain(folder: &Path, bundles: u32, key: &SigningKey, now: Timestamp) -> Result<(), Failed> {
    let store = Store::open_or_set_aside(folder, now)?;
    let signer = Arc::new(Signer {
        key: key.clone(),
        site_id: "clinic-a".to_owned(),
        host_id: "appliance-1".to_owned(),
        deployment_mode: DeploymentMode::Direct,
    });
    for first in (0..bundles).step_by(TOGETHER as usize) {
        let signer = Arc::clone(&signer);
        let one_group = move |db: &_| {
            for n in first..bundles.min(first + TOGETHER) {
                let now = now.saturating_add(SignedDuration::from_secs(n.into())).unwrap_or(now);
                chain::append(db, &signer, "policy", status_change(n, now), now)?;
            }
            Ok(())
        };
        store.write(one_group).await?;
    }
    Ok(())
}

fn status_change(n: u32, now: Timestamp) -> Draft {
    let target = Target { host_id: format!("192.0.2.{}", n % 200), name: "FS01".into(), platform: Platform::Windows };
    let profiles = json!({ "Domain": "True", "Private": "True", "Public": "False" });
    let observation = Observation::drift(
        CheckKind::Firewall,
        Severity::High,
        json!({ "firewall_enabled": false, "profiles": profiles }),
        json!({ "firewall_enabled": true, "profiles": ["Domain", "Private", "Public"] }),
        vec!["profile Public is off".to_owned()],
    )
    .detail("firewall_enabled", false)
    .detail("profiles", profiles);
    let finding = observation.finding(Platform::Windows, &target.host_id, &target.name);
    Draft::status_change(&target, &finding, Some(CheckStatus::Compliant), CheckStatus::Drift, now)
}

/// Verifies all evidence of the state in `folder` as `msp-agent evidence verify` does. How many bundles there are, and
/// how many problems were found.
///
/// # Errors
/// When it cannot be read.
pub fn verify_chain(folder: &Path, key: VerifyingKey) -> Result<(u64, usize), Failed> {
    let db = open_for_reading(folder)?;
    let expected = Expected { site_id: "clinic-a", host_id: "appliance-1", agent_keys: &[key], server_keys: &[] };
    let report = verify::verify(&db, &expected)?;
    Ok((report.count, report.problems.len()))
}

/// Windows servers whose checks are made as the daemon makes them.
pub struct Windows {
    hosts: Vec<Arc<WindowsHost>>,
    catalogue: Arc<Catalogue>,
}

impl Windows {
    /// Prepares a connection to each, over plain HTTP with every message sealed.
    ///
    /// # Errors
    /// When the runbooks or the client cannot be prepared.
    pub fn reach(addresses: &[SocketAddr], user: &str, password: &str) -> Result<Self, Failed> {
        let catalogue = Arc::new(Catalogue::builtin()?);
        let credentials = Credentials { username: user.to_owned(), password: password.into() };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let hosts = addresses.iter().map(|address| {
            let server = Server {
                hostname: address.ip().to_string(),
                address: address.ip(),
                port: address.port(),
                sealed: None,
                access: Access::SealedHttp,
            };
            WindowsHost::new(&server, &credentials, None, Arc::clone(&catalogue), Arc::clone(&clock)).map(Arc::new)
        });
        Ok(Self { hosts: hosts.collect::<Result<_, _>>()?, catalogue })
    }

    /// Makes every check of every server, all servers at once.
    ///
    /// # Errors
    /// When a check could not tell: then its time says nothing.
    pub async fn check(&self) -> Result<(), Failed> {
        let mut running = JoinSet::new();
        for host in &self.hosts {
            let (host, catalogue) = (Arc::clone(host), Arc::clone(&self.catalogue));
            running.spawn(async move {
                let baseline = crate::config::baseline::Windows::default();
                for check in windows::checks(&catalogue, true) {
                    let (seen, _) = check.observe(&host, &baseline).await;
                    let unknown = seen.observations.into_iter().find(|one| one.status == CheckStatus::Unknown);
                    if let Some(unknown) = unknown {
                        return Err(format!("{} could not tell: {:?}", unknown.check, unknown.reason));
                    }
                }
                Ok(())
            });
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
        Ok(())
    }

    /// What stands on the command line of every phase, encoded.
    pub fn bootstrap() -> String {
        crate::adapters::winrm::encoded_bootstrap()
    }

    /// The detect scripts of all checks, as they are sent.
    pub fn detect_scripts() -> Vec<String> {
        let catalogue = Catalogue::builtin().unwrap_or_default();
        let script = |check: windows::WindowsCheck| catalogue.script(check.runbook_id(), Phase::Detect);
        let scripts = windows::checks(&catalogue, true).filter_map(script);
        scripts.map(|script| format!("$MspParams = '{{}}' | ConvertFrom-Json\n{script}")).collect()
    }
}
