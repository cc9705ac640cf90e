//! The commands, one file each.

pub(crate) mod catalog;
pub(crate) mod demo;
pub(crate) mod receiver;
pub(crate) mod serve;
pub(crate) mod sign;
pub(crate) mod simulate;
pub(crate) mod verify;
