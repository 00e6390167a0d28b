//! The outside world, behind plain types: files, commands, D-Bus, packet filters, Windows servers. Nothing in
//! here decides anything.

pub mod certificate;
pub mod command;
pub mod executor;
pub mod files;
pub mod inherited;
pub mod inventory;
pub mod packet_filter;
pub mod private_file;
pub mod sensor_keys;
pub mod systemd;
pub mod winrm;
