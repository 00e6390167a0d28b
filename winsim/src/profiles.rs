//! The machines that can be simulated, each in a healthy state.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::windows::State;
use crate::windows::antivirus::Antivirus;
use crate::windows::backup::Backup;
use crate::windows::computer::{Computer, DomainRole, Language};
use crate::windows::directory::Directory;
use crate::windows::encryption::Encryption;
use crate::windows::files::Files;
use crate::windows::firewall::{Direction, Firewall, ProfileName, Rule};
use crate::windows::logging::Logging;
use crate::windows::services::{Service, Services, StartType, Status};
use crate::windows::tasks::Tasks;
use crate::windows::updates::Updates;
use crate::windows::winrm::Winrm;

/// What kind of server is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// A member server: no directory, no DNS server.
    Member,
    /// A domain controller that also serves DNS.
    Dc,
    /// A member workstation with Windows 11.
    Workstation,
    /// A member server without desktop and without the Windows Server Backup feature.
    Core,
    /// A member server with another vendor's antivirus: Defender is passive.
    ThirdPartyAntivirus,
    /// A member server without a TPM.
    NoTpm,
    /// A member server with German Windows.
    German,
    /// A member server with Windows Server 2025.
    #[value(name = "server2025")]
    #[serde(rename = "server2025")]
    Server2025,
    /// A member server whose Group Policy undoes local changes whenever it is refreshed.
    GroupPolicy,
}

impl Profile {
    /// The healthy state of such a server under the name `hostname`.
    #[must_use]
    pub fn state(self, hostname: &str) -> State {
        State {
            computer: Computer {
                name: hostname.to_uppercase(),
                domain: "clinic.example".to_owned(),
                domain_role: match self {
                    Self::Dc => DomainRole::PrimaryDomainController,
                    Self::Workstation => DomainRole::MemberWorkstation,
                    _ => DomainRole::MemberServer,
                },
                language: if self == Self::German { Language::German } else { Language::English },
                clock_offset_seconds: 0,
                os_caption: match self {
                    Self::Workstation => "Microsoft Windows 11 Pro",
                    Self::Server2025 => "Microsoft Windows Server 2025 Standard",
                    _ => "Microsoft Windows Server 2022 Standard",
                }
                .to_owned(),
                os_version: match self {
                    Self::Workstation => "10.0.22631",
                    Self::Server2025 => "10.0.26100",
                    _ => "10.0.20348",
                }
                .to_owned(),
            },
            firewall: Firewall::healthy(self.rules()),
            services: Services::new(self.services()),
            updates: Updates::of(self),
            tasks: Tasks::default(),
            files: Files::healthy(),
            winrm: Winrm::of(self),
            antivirus: Antivirus::of(self),
            backup: Backup::of(self),
            encryption: Encryption::of(self),
            logging: Logging::of(self),
            directory: Directory::of(self),
            refuse_logons: false,
        }
    }

    fn services(self) -> Vec<Service> {
        use StartType::{Automatic, Disabled, Manual};
        use Status::{Running, Stopped};
        let mut list = vec![
            service("BFE", "Base Filtering Engine", Running, Automatic, &["RpcSs"]),
            service("Dnscache", "DNS Client", Running, Automatic, &[]),
            service("EventLog", "Windows Event Log", Running, Automatic, &[]),
            service("LanmanServer", "Server", Running, Automatic, &[]),
            service("LanmanWorkstation", "Workstation", Running, Automatic, &[]),
            service("MpsSvc", "Windows Defender Firewall", Running, Automatic, &["BFE"]),
            service("Netlogon", "Netlogon", Running, Automatic, &["LanmanWorkstation"]),
            service("RemoteRegistry", "Remote Registry", Stopped, Disabled, &["RpcSs"]),
            service("RpcSs", "Remote Procedure Call (RPC)", Running, Automatic, &[]),
            service("Schedule", "Task Scheduler", Running, Automatic, &["RpcSs", "EventLog"]),
            service("Spooler", "Print Spooler", Running, Automatic, &["RpcSs"]),
            service("VSS", "Volume Shadow Copy", Stopped, Manual, &["RpcSs"]),
            service("W32Time", "Windows Time", Running, Automatic, &[]),
            service("wuauserv", "Windows Update", Stopped, Manual, &["RpcSs"]),
            service("WinDefend", "Microsoft Defender Antivirus Service", Running, Automatic, &["RpcSs"]),
            service("WinRM", "Windows Remote Management (WS-Management)", Running, Automatic, &["RpcSs"]),
        ];
        if self == Self::Dc {
            list.push(service("DNS", "DNS Server", Running, Automatic, &["RpcSs"]));
            list.push(service("Kdc", "Kerberos Key Distribution Center", Running, Automatic, &["RpcSs"]));
            list.push(service("NTDS", "Active Directory Domain Services", Running, Automatic, &["RpcSs"]));
        }
        list.sort_by_key(|s| s.name.to_lowercase());
        list
    }

    fn rules(self) -> Vec<Rule> {
        use ProfileName::{Domain, Private, Public};
        let mut rules = vec![
            rule("CoreNet-DHCP-In", "Core Networking - DHCP (DHCP-In)", true, &[], "UDP", "68"),
            rule("FPS-SMB-In-TCP", "File and Printer Sharing (SMB-In)", true, &[Domain], "TCP", "445"),
            rule("RemoteDesktop-UserMode-In-TCP", "Remote Desktop - User Mode (TCP-In)", false, &[], "TCP", "3389"),
            rule("WINRM-HTTP-In-TCP", "Windows Remote Management (HTTP-In)", true, &[Domain, Private], "TCP", "5985"),
            rule("WINRM-HTTP-In-TCP-PUBLIC", "Windows Remote Management (HTTP-In)", true, &[Public], "TCP", "5985"),
            rule("WINRM-HTTPS-In-TCP", "Windows Remote Management (HTTPS-In)", true, &[], "TCP", "5986"),
        ];
        if self == Self::Dc {
            rules.push(rule("DNSSrv-DNS-TCP-In", "DNS (TCP, Incoming)", true, &[], "TCP", "53"));
            rules.push(rule(
                "ADDS-LDAP-TCP-In",
                "Active Directory Domain Controller - LDAP (TCP-In)",
                true,
                &[],
                "TCP",
                "389",
            ));
        }
        rules
    }
}

fn service(name: &str, display_name: &str, status: Status, start_type: StartType, depends_on: &[&str]) -> Service {
    Service {
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        status,
        start_type,
        depends_on: depends_on.iter().map(|d| (*d).to_owned()).collect(),
        // The core of Windows refuses a stop: RPC, the firewall and its engine, the directory's log.
        accepts_stop: !["RpcSs", "MpsSvc", "BFE", "EventLog", "WinDefend", "Schedule"].contains(&name),
        start_fails: false,
    }
}

fn rule(id: &str, display_name: &str, enabled: bool, profiles: &[ProfileName], protocol: &str, port: &str) -> Rule {
    Rule {
        instance_id: id.to_owned(),
        display_name: display_name.to_owned(),
        enabled,
        direction: Direction::Inbound,
        allow: true,
        profiles: profiles.to_vec(),
        protocol: protocol.to_owned(),
        local_ports: vec![port.to_owned()],
    }
}
