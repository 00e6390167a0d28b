use super::super::fixture::{Fixture, observe};
use super::*;
use msp_contracts::finding::CheckStatus;

async fn look(fixture: &Fixture, mounts: &[&str]) -> Observation {
    let desired = baseline::Encryption { mounts: mounts.iter().map(Into::into).collect() };
    observe(&Encryption { machine: fixture.machine(), desired }).await
}

/// A block device as sysfs shows it; `uuid` is device mapper's.
fn block(fixture: Fixture, name: &str, number: &str, uuid: Option<&str>, below: &[&str]) -> Fixture {
    let at = format!("/sys/devices/virtual/block/{name}");
    let mut fixture = fixture
        .file(&format!("{at}/dev"), format!("{number}\n"))
        .dir(&format!("{at}/slaves"))
        .link(&format!("/sys/class/block/{name}"), &format!("../../devices/virtual/block/{name}"))
        .link(&format!("/sys/dev/block/{number}"), &format!("../../devices/virtual/block/{name}"));
    if let Some(uuid) = uuid {
        let label = format!("{name}-label\n");
        fixture = fixture.file(&format!("{at}/dm/uuid"), format!("{uuid}\n")).file(&format!("{at}/dm/name"), label);
    }
    for lower in below {
        fixture = fixture.link(&format!("{at}/slaves/{lower}"), &format!("../../{lower}"));
    }
    fixture
}

/// A partition: a directory inside its disk's.
fn partition(fixture: Fixture, disk: &str, name: &str, number: &str) -> Fixture {
    let at = format!("devices/virtual/block/{disk}/{name}");
    fixture
        .file(&format!("/sys/{at}/dev"), format!("{number}\n"))
        .file(&format!("/sys/{at}/partition"), "1\n")
        .link(&format!("/sys/class/block/{name}"), &format!("../../{at}"))
        .link(&format!("/sys/dev/block/{number}"), &format!("../../{at}"))
}

/// A disk with two partitions, LUKS on the second, LVM on that, with one volume.
fn laptop() -> Fixture {
    let disk = block(Fixture::new(), "nvme0n1", "259:0", None, &[]);
    let disk = partition(partition(disk, "nvme0n1", "nvme0n1p1", "259:1"), "nvme0n1", "nvme0n1p2", "259:2");
    let luks = block(disk, "dm-0", "254:0", Some("CRYPT-LUKS2-c0ffee-cryptroot"), &["nvme0n1p2"]);
    block(luks, "dm-1", "254:1", Some("LVM-abcdef"), &["dm-0"])
}

fn mounted(fixture: Fixture, lines: &[&str]) -> Fixture {
    fixture.file("/proc/self/mountinfo", lines.join("\n"))
}

const ROOT_ON_LVM: &str = "27 1 254:1 / / rw - ext4 /dev/mapper/vg-root rw";

#[tokio::test]
async fn lvm_on_luks_is_encrypted_and_a_plain_partition_is_not() {
    let fixture = mounted(laptop(), &[ROOT_ON_LVM, "28 27 259:1 / /boot rw - vfat /dev/nvme0n1p1 rw"]);
    let seen = look(&fixture, &["/", "/var/lib/msp"]).await;
    assert_eq!(seen.status, CheckStatus::Compliant, "{seen:?}");
    assert_eq!(seen.actual["/"], "encrypted (LUKS2 as dm-0-label)");
    let seen = look(&fixture, &["/", "/boot"]).await;
    assert_eq!(seen.diff, ["/boot is not encrypted: it lies on nvme0n1p1"]);
}

#[tokio::test]
async fn a_mirror_with_one_side_in_the_clear_is_not_encrypted() {
    let disks = block(block(Fixture::new(), "sda", "8:0", None, &[]), "sdb", "8:16", None, &[]);
    let half = block(disks, "dm-0", "254:0", Some("CRYPT-LUKS1-x-y"), &["sda"]);
    let mirror = block(half, "md0", "9:0", None, &["dm-0", "sdb"]);
    let seen = look(&mounted(mirror, &["27 1 9:0 / / rw - ext4 /dev/md0 rw"]), &["/"]).await;
    assert_eq!(seen.diff, ["/ is not encrypted: it lies on sdb"]);
}

#[tokio::test]
async fn btrfs_is_followed_through_all_of_its_devices() {
    let root = "27 1 0:30 /@ / rw - btrfs /dev/mapper/cryptroot rw,subvol=/@";
    let on_luks = mounted(laptop(), &[root])
        .file("/dev/dm-0", "")
        .link("/dev/mapper/cryptroot", "../dm-0")
        .link("/sys/fs/btrfs/1111/devices/dm-0", "../../../../devices/virtual/block/dm-0");
    assert_eq!(look(&on_luks, &["/"]).await.status, CheckStatus::Compliant);
    let added = on_luks.link("/sys/fs/btrfs/1111/devices/nvme0n1p1", "../../../../devices/virtual/block/nvme0n1");
    assert_eq!(look(&added, &["/"]).await.diff, ["/ is not encrypted: it lies on nvme0n1p1"]);
    let hidden = mounted(laptop(), &[root]);
    assert_eq!(look(&hidden, &["/"]).await.status, CheckStatus::Unknown);
}

#[tokio::test]
async fn zfs_is_asked_for_the_dataset_and_the_pool_below_it() {
    let root = "27 1 0:31 / / rw - zfs rpool/root rw";
    let fixture = mounted(laptop(), &[root]).file("/dev/dm-0", "");
    assert!(look(&fixture, &["/"]).await.reason.unwrap().contains("`zfs` is not installed"));
    let native = mounted(laptop(), &[root]).prints("zfs", "aes-256-gcm\n");
    assert_eq!(look(&native, &["/"]).await.status, CheckStatus::Compliant);
    let off = fixture.prints("zfs", "off\n").prints("zpool", "rpool\t9G\t1G\n\t/dev/dm-0\t9G\t1G\n");
    assert_eq!(look(&off, &["/"]).await.status, CheckStatus::Compliant, "the pool lies on LUKS");
    let bare = off.prints("zpool", "rpool\t9G\t1G\n\t/dev/nvme0n1p1\t9G\t1G\n").file("/dev/nvme0n1p1", "");
    assert_eq!(look(&bare, &["/"]).await.status, CheckStatus::Drift);
}

#[tokio::test]
async fn memory_holds_nothing_at_rest_and_other_virtual_roots_are_unknown() {
    let tmpfs = "27 1 0:25 / / rw - tmpfs none rw";
    let all_in_memory = look(&mounted(Fixture::new(), &[tmpfs]), &["/"]).await;
    assert_eq!(all_in_memory.status, CheckStatus::Unsupported);
    let state_on_disk = mounted(laptop(), &[tmpfs, &ROOT_ON_LVM.replace("/ /", "/ /nix")]);
    assert_eq!(look(&state_on_disk, &["/", "/nix"]).await.status, CheckStatus::Compliant);
    for root in ["overlay overlay rw,lowerdir=/a", "nfs4 server:/x rw", "9p host rw", "fuse.sshfs a@b: rw"] {
        let seen = look(&mounted(laptop(), &[&format!("27 1 0:40 / / rw - {root}")]), &["/"]).await;
        assert_eq!(seen.status, CheckStatus::Unknown, "{root}: {seen:?}");
    }
}

#[tokio::test]
async fn odd_tables_hidden_devices_and_loops_are_unknown() {
    let odd = look(&mounted(laptop(), &[ROOT_ON_LVM, "what is this"]), &["/"]).await;
    assert!(odd.reason.unwrap().contains("1 lines of the mount table were not understood"));
    let hidden = look(&mounted(Fixture::new(), &[ROOT_ON_LVM]), &["/"]).await;
    assert!(hidden.reason.unwrap().contains("254:1 is not in /sys/dev/block"));
    let cut = block(Fixture::new(), "dm-1", "254:1", Some("LVM-abcdef"), &[]);
    assert_eq!(look(&mounted(cut, &[ROOT_ON_LVM]), &["/"]).await.status, CheckStatus::Unknown);
    let ring = block(Fixture::new(), "dm-1", "254:1", Some("LVM-abcdef"), &["dm-1"]);
    assert!(look(&mounted(ring, &[ROOT_ON_LVM]), &["/"]).await.reason.unwrap().contains("form a loop"));
    assert_eq!(look(&Fixture::new(), &["/"]).await.status, CheckStatus::Unknown);
}
