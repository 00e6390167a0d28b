//! A machine with generations: a real Nix store, a real profile, and systems whose `switch-to-configuration` is a test
//! script of the same contract as NixOS's own (`test` activates, `boot` says what the machine starts with, the lock, the
//! exit codes). What the script does besides when it activates a system is up to the test.

use crate::machine::Machine;
use anyhow::Context;
use msp_lab::clinic::{APPLIANCE, SITE};
use serde_json::{Value, json};
use std::time::Duration;

/// Where the machine keeps a system from the next boot on: what a boot loader's entry is.
const LINKS: &str = "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/bash -c \
    'mkdir -p /run/nixos; [ ! -e /boot/default ] || for link in current booted; do ln -sfn $(cat /boot/default) /run/$link-system; done'\n\
    [Install]\nWantedBy=sysinit.target\n";

const NIX_CONF: &str = "sandbox = false\nbuild-users-group =\nsubstituters = file:///srv/cache\n\
    experimental-features = nix-command\ntrusted-public-keys = @KEY@\n";

/// Builds a system. `hook` runs when it is activated; `kernel` is what its kernel is called.
const BUILD: &str = r#"
mkdir -p $out/bin
ln -s /srv/kernels/$kernel $out/kernel
case $name in *mute*) mkdir $out/etc ;; esac
echo "$name" >$out/nixos-version
cat >$out/bin/switch-to-configuration <<END
#!/bin/bash
echo "\$1 $out" >>/srv/switched
exec 9>/run/nixos/switch-to-configuration.lock
flock --nonblock 9 || exit 11
case \$1 in
boot)
  case $name in *cut-before*) sleep 600 ;; esac
  rm -f /boot/kernel-*
  for link in /nix/var/nix/profiles/system-*-link; do
    file=\$(readlink \$link/kernel)
    cp \$file /boot/kernel-\$(basename \$file) || exit 1
  done
  echo $out >/boot/default.new && mv /boot/default.new /boot/default
  case $name in *cut-after*) sleep 600 ;; esac ;;
test) ln -sfn $out /run/current-system.new && mv -T /run/current-system.new /run/current-system
$hook
;;
esac
END
chmod +x $out/bin/switch-to-configuration
"#;

/// A machine that runs NixOS as far as the agent can tell.
#[derive(Debug)]
pub struct Nixos {
    /// The machine.
    pub machine: Machine,
}

impl Nixos {
    /// Makes one of a machine that is not booted yet, and boots it. What runs is the system `first`, which is declared;
    /// Central Command runs on the machine itself, and the agent has checked in.
    ///
    /// # Errors
    /// When any of it does not work.
    pub fn boot(machine: Machine, restore_declared: bool) -> anyhow::Result<Self> {
        let key = std::fs::read_to_string(machine.folder().join("upper/srv/central/signing.pub"))?;
        let list = json!({"user": "msp-agent", "units": ["web.service"], "switch": {
            "site_id": SITE, "host_id": APPLIANCE, "server_public_keys": [key.trim()], "restore_declared": restore_declared,
        }});
        machine.lay("etc/msp-agent/act.json", list.to_string(), 0o644)?;
        let config = std::fs::read_to_string(machine.folder().join("upper/etc/msp/config.yaml"))?;
        machine.lay("etc/msp/config.yaml", config + "allow_disruptive_outside_window: true\n", 0o644)?;
        machine.lay("etc/NIXOS", "", 0o644)?;
        machine.lay("srv/build.sh", BUILD, 0o644)?;
        machine.lay("srv/kernels/one", "one", 0o644)?;
        machine.lay("srv/kernels/two", "two", 0o644)?;
        machine.lay("etc/systemd/system/boot-links.service", LINKS, 0o644)?;
        machine.lay("usr/local/bin/msp-central", std::fs::read(msp_lab::process::program("msp-central")?)?, 0o755)?;
        // The test has less patience than a clinic.
        let quick = "[Service]\nExecStart=\nExecStart=/usr/local/libexec/msp-agent-switch run %i 10\n";
        machine.lay("etc/systemd/system/msp-agent-switch@.service.d/quick.conf", quick, 0o644)?;
        machine.want("sysinit.target", "boot-links.service")?;
        machine.boot(&[])?;
        let nixos = Self { machine };
        nixos
            .machine
            .sh("mkdir -p /etc/nix /boot /srv/cache; nix-store --generate-binary-cache-key test-1 /srv/key.sec /srv/key.pub")?;
        let conf = NIX_CONF.replace("@KEY@", "$(cat /srv/key.pub)");
        nixos.machine.sh(&format!("cat >/etc/nix/nix.conf <<END\n{conf}END"))?;
        let first = nixos.system("first", "true", "one")?;
        nixos.machine.sh(&format!(
            "nix-env --profile /nix/var/nix/profiles/system --set {first}; {first}/bin/switch-to-configuration test
             {first}/bin/switch-to-configuration boot; ln -sfn {first} /run/booted-system; msp-agent generations accept"
        ))?;
        nixos.central()?;
        Ok(nixos)
    }

    /// Starts Central Command, and waits until the agent has checked in.
    ///
    /// # Errors
    /// When patience ends.
    pub fn central(&self) -> anyhow::Result<()> {
        self.machine
            .sh("systemd-run --quiet --unit=central msp-central serve --dir /srv/central --listen 127.0.0.1:8443 \
             --people 127.0.0.1:8444 --people-http --enroll 127.0.0.1:8445")?;
        self.machine.until("journalctl --no-pager -b -u msp-agent.service | grep -q 'checked in with Central Command'")
    }

    /// Builds a system, signed, which does `hook` when it is activated; its path in the store.
    ///
    /// # Errors
    /// When Nix refuses.
    pub fn system(&self, name: &str, hook: &str, kernel: &str) -> anyhow::Result<String> {
        let path = self.unsigned_system(name, hook, kernel)?;
        self.machine.sh(&format!("nix store sign --key-file /srv/key.sec {path}"))?;
        Ok(path)
    }

    /// Gives a system that nobody signed to a binary cache that signs it, which the machine asks.
    ///
    /// # Errors
    /// When Nix refuses.
    pub fn serve(&self, path: &str) -> anyhow::Result<()> {
        self.machine.sh(&format!("nix copy --to 'file:///srv/cache?secret-key=/srv/key.sec' {path}")).map(drop)
    }

    /// The same, and nobody signs it.
    ///
    /// # Errors
    /// When Nix refuses.
    pub fn unsigned_system(&self, name: &str, hook: &str, kernel: &str) -> anyhow::Result<String> {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${");
        let expression = format!(
            "derivation {{ name = \"nixos-system-{name}\"; system = builtins.currentSystem; builder = \"/bin/bash\"; \
             args = [ \"/srv/build.sh\" ]; PATH = \"/usr/bin:/bin\"; hook = \"{}\"; kernel = \"{kernel}\"; }}",
            quoted(hook)
        );
        let built = self.machine.run(&["sh", "nix-build", "--quiet", "--no-out-link", "-E", &expression])?;
        Ok(built.trim().to_owned())
    }

    /// Orders a switch; the order's id.
    ///
    /// # Errors
    /// When Central Command refuses.
    pub fn order(&self, store_path: &str) -> anyhow::Result<String> {
        let order = self.machine.sh(&format!(
            "msp-central order issue --dir /srv/central {SITE} {APPLIANCE} switch-generation {store_path} \
             --reason 'the monthly update' --by alice --json"
        ))?;
        let order: Value = serde_json::from_str(&order).context(order)?;
        Ok(order["order_id"].as_str().context("an order has an id")?.to_owned())
    }

    /// Waits until the order is over at Central Command, and answers what it was told.
    ///
    /// # Errors
    /// When patience ends.
    pub fn completed(&self, order: &str) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        for _ in 0..240 {
            let shown = self.machine.sh(&format!("msp-central order show --dir /srv/central {order} --json"))?;
            last = serde_json::from_str(&shown).context(shown)?;
            if last["state"] == "completed" || last["state"] == "refused" {
                return Ok(last);
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        let log = self.machine.sh("journalctl -b --no-pager -n 400 | grep -v msp-agent-nft | tail -n 60")?;
        anyhow::bail!("order {order} does not end: {last:#}\n{log}")
    }

    /// What `msp-agent generations list --json` says.
    ///
    /// # Errors
    /// When it says nothing.
    pub fn generations(&self) -> anyhow::Result<Value> {
        let listed = self.machine.script(&["sh", "msp-agent", "generations", "list", "--json"])?;
        serde_json::from_slice(&listed.stdout).with_context(|| String::from_utf8_lossy(&listed.stderr).into_owned())
    }

    /// What runs, what the profile says, and what the machine starts with.
    ///
    /// # Errors
    /// When a link is missing.
    pub fn links(&self) -> anyhow::Result<[String; 3]> {
        let told = self
            .machine
            .sh("readlink -f /run/current-system; readlink -f /nix/var/nix/profiles/system; cat /boot/default")?;
        let lines: Vec<String> = told.lines().map(str::to_owned).collect();
        lines.try_into().map_err(|lines| anyhow::anyhow!("{lines:?}"))
    }
}
