//! Nothing acknowledged is lost or doubled: crashes, full disks, faulty stores, concurrent processes,
//! key rotation, backups, secrets and lakes of older programs.

mod backup_paths;
mod crash;
mod faulty_store;
mod full_disk;
mod golden_lake;
mod key_rotation;
mod kills;
mod power_cut;
mod readers;
mod retention;
mod s3;
mod secrets;
mod vault_readers;
mod writers;
