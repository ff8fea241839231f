//! The store on a simulated disk.

use std::sync::Arc;

use super::support::*;
use crate::clock::Clock;
use crate::store::*;

#[path = "../../../tests/simdisk/under.rs"]
mod under;

use under::Simulated;

fn on(disk: &simdisk::Disk) -> Config {
    let mut config = config(&disk.path());
    config.disk = Some(Arc::new(Simulated::new(disk.clone())));
    config
}

#[tokio::test]
async fn a_store_works_on_a_simulated_disk_and_survives_its_crash() {
    let disk = simdisk::Disk::new(1);
    let (config, clock) = (on(&disk), Clock::manual(START));
    let store = open(&config, &clock).unwrap();
    assert!(matches!(
        open(&config, &clock),
        Err(StoreError::Owned { .. })
    ));
    let receipt = store.accept(event("stripe", "a")).await.unwrap();
    disk.crash();
    drop(store);
    let store = open(&config, &clock).unwrap();
    let again = store.accept(event("stripe", "a")).await.unwrap();
    assert_eq!(
        (again.kind(), again.event_id()),
        (ReceiptKind::Duplicate, receipt.event_id())
    );
    store.close().await;
}
