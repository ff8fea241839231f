//! The store's promises, tested through its front. The cases know no engine but where they damage
//! or fill one.

mod damage;
mod damages;
mod dedup;
mod delivery;
mod disk;
mod failure;
mod handled;
mod measure;
mod model;
mod reading;
mod salvage;
mod support;
mod time;

pub(in crate::store) use support::config;
