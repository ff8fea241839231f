//! Who goes, as a function; and that slots are counted, given up and given back.

use super::*;

const MAX: usize = 100;

fn stranger(crowd: usize, waited: u64) -> Standing {
    Standing {
        proven: false,
        crowd,
        waited: Duration::from_millis(waited),
        stays: false,
    }
}

fn proven(waited: u64) -> Standing {
    Standing {
        proven: true,
        ..stranger(0, waited)
    }
}

/// Which one goes for a newcomer that is alone.
fn first<const N: usize>(open: usize, connections: [Standing; N]) -> Option<usize> {
    match welcome(connections.into_iter().enumerate(), 1, open, MAX) {
        Welcome::Instead(first) => Some(first),
        Welcome::Free | Welcome::Refused | Welcome::Wait => None,
    }
}

#[test]
fn nobody_goes_while_a_fifth_of_the_slots_is_free() {
    assert_eq!(first(80, [stranger(80, 3_600_000)]), None);
}

#[test]
fn the_fewer_slots_are_left_the_less_time_a_stranger_has() {
    for (open, stays, goes) in [
        (81, 9_000, 10_000),
        (90, 5_000, 5_200),
        (99, 700, 750),
        (100, 249, 250),
        (101, 249, 250),
    ] {
        assert_eq!(first(open, [stranger(1, stays)]), None, "{open}");
        assert_eq!(first(open, [stranger(1, goes)]), Some(0), "{open}");
    }
}

#[test]
fn of_strangers_the_one_with_the_most_company_goes_and_among_those_the_oldest() {
    let connections = [
        stranger(1, 60_000),
        stranger(20, 300),
        stranger(20, 400),
        stranger(20, 300),
        stranger(3, 50_000),
    ];
    assert_eq!(first(MAX, connections), Some(2));
}

#[test]
fn a_newcomer_from_far_away_has_the_time_for_its_first_request() {
    let connections = || [stranger(1, 200), proven(200)].into_iter().enumerate();
    assert_eq!(welcome(connections(), 1, MAX + 1, MAX), Welcome::Wait);
}

/// A flood that opens connections as fast as they are closed stands in the queue too: if its newcomers
/// waited for their turn, every sender behind them would wait with them.
#[test]
fn in_a_full_house_a_newcomer_with_company_is_refused_and_one_alone_gets_a_slot_at_once() {
    let connections = || [stranger(20, 1), stranger(3, 249), proven(60_000)];
    let full = |crowd| welcome(connections().into_iter().enumerate(), crowd, MAX + 1, MAX);
    assert_eq!(full(21), Welcome::Refused);
    assert_eq!(full(20), Welcome::Refused);
    assert_eq!(full(19), Welcome::Instead(0));
    assert_eq!(full(1), Welcome::Instead(0));
}

#[test]
fn whoever_had_a_verified_request_goes_last_and_only_when_the_house_is_full() {
    assert_eq!(first(MAX, [proven(60_000)]), None);
    assert_eq!(first(MAX + 1, [proven(60_000), stranger(1, 300)]), Some(1));
    assert_eq!(first(MAX + 1, [proven(300), proven(60_000)]), Some(1));
}

/// Strangers that come faster than they go are all young: that must not turn on those who have
/// been here for long.
#[test]
fn a_flood_of_young_strangers_does_not_push_out_whoever_had_a_verified_request() {
    assert_eq!(first(MAX + 1, [proven(60_000), stranger(1, 100)]), None);
}

#[test]
fn whoever_has_a_verified_request_under_way_never_goes() {
    let busy = Standing {
        stays: true,
        ..proven(60_000)
    };
    assert_eq!(first(MAX + 1, [busy]), None);
}

#[test]
fn a_single_slot_can_change_hands() {
    let connections = [(0, stranger(1, 300))];
    assert_eq!(
        welcome(connections.into_iter(), 1, 2, 1),
        Welcome::Instead(0)
    );
}

fn peer(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

async fn take(slots: &Arc<Slots>, from: &str) -> Slot {
    let entry = slots.enter(peer(from)).unwrap();
    slots.take(entry).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_gets_the_slot_of_the_stranger_with_the_most_company() {
    let slots = Slots::new(3, 3, Vec::new());
    let oldest = take(&slots, "192.0.2.1").await;
    tokio::time::advance(Duration::from_millis(1)).await;
    let younger = take(&slots, "192.0.2.1").await;
    let alone = take(&slots, "192.0.2.2").await;
    let (going, staying) = (oldest.place(), younger.place());
    let leaving = async {
        going.wanted().await;
        drop(oldest);
    };

    let newcomer = take(&slots, "192.0.2.3");
    let (_newcomer, ()) = tokio::join!(newcomer, leaving);

    assert!(!staying.0.leaving.load(Ordering::Relaxed));
    assert!(!alone.place().0.leaving.load(Ordering::Relaxed));
    assert_eq!(slots.taken().seats.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_event_is_on_its_way_to_the_disk_keeps_its_slot() {
    let slots = Slots::new(1, 1, Vec::new());
    let slot = take(&slots, "192.0.2.1").await;
    let place = slot.place();
    let at_work = place.verified();
    let mut newcomer = std::pin::pin!(take(&slots, "192.0.2.2"));
    let waited = timeout(Duration::from_secs(60), &mut newcomer).await;
    assert!(waited.is_err() && !place.0.leaving.load(Ordering::Relaxed));

    drop(at_work);
    let leaving = async {
        place.wanted().await;
        drop(slot);
    };
    tokio::join!(newcomer, leaving);
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_when_its_connection_has_ended() {
    let slots = Slots::new(2, 2, Vec::new());
    let slot = take(&slots, "192.0.2.1").await;
    assert_eq!(slots.free.available_permits(), 1);
    drop(slot);
    assert_eq!(
        slots.free.available_permits(),
        2,
        "slots are never free again"
    );
}

/// A newcomer waited until the connection that had to go was closed, and everybody behind it too.
#[tokio::test(start_paused = true)]
async fn a_slot_is_free_as_soon_as_its_connection_has_been_asked_to_leave() {
    let slots = Slots::new(1, 2, Vec::new());
    let leaving = take(&slots, "192.0.2.1").await;
    tokio::time::advance(PATIENCE_MIN).await;
    let mut newcomers = vec![take(&slots, "192.0.2.2").await];
    assert!(!slots.send_away(&leaving.place().0), "it has none any more");
    for host in 3..=LEAVING_MAX + 1 {
        tokio::time::advance(PATIENCE_MIN).await;
        newcomers.push(take(&slots, &format!("192.0.2.{host}")).await);
    }
    tokio::time::advance(PATIENCE_MIN).await;
    let one_more = take(&slots, "192.0.2.200");
    let waits = timeout(Duration::from_secs(60), one_more).await;
    assert!(waits.is_err(), "only so many may be about to leave");
    drop(leaving);
    take(&slots, "192.0.2.200").await;
}

async fn speaks_http2(slots: &Arc<Slots>, from: &str) -> Slot {
    let slot = take(slots, from).await;
    slots.may_speak_http2(&slot.place()).await;
    slot
}

/// Forty connections of one sender at once are no attack: the thirty-third was cut off without a word.
#[tokio::test(start_paused = true)]
async fn in_a_calm_house_strangers_with_http2_wait_for_a_place_and_have_their_time() {
    let slots = Slots::new(1000, 500, Vec::new());
    let mut open = Vec::new();
    for _ in 0..HTTP2_STRANGERS_MAX {
        open.push(speaks_http2(&slots, "192.0.2.1").await);
    }
    let (late, began) = (take(&slots, "192.0.2.1").await, Instant::now());
    let place = late.place();
    let verified = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(open[0].place().verified());
    };
    tokio::join!(slots.may_speak_http2(&place), verified);
    assert_eq!(began.elapsed().as_secs(), 5);
    let seats = open.iter().map(Slot::place);
    assert!(
        seats
            .chain([place])
            .all(|place| !place.0.leaving.load(Ordering::Relaxed))
    );
}

#[tokio::test(start_paused = true)]
async fn who_has_fewer_connections_gets_a_place_for_http2_from_who_has_more() {
    let slots = Slots::new(1000, 500, Vec::new());
    let first = speaks_http2(&slots, "192.0.2.1").await;
    tokio::time::advance(Duration::from_millis(1)).await;
    let mut open = Vec::new();
    for _ in 1..HTTP2_STRANGERS_MAX {
        open.push(speaks_http2(&slots, "192.0.2.1").await);
    }
    let going = async {
        first.place().wanted().await;
        drop(first);
    };
    tokio::join!(speaks_http2(&slots, "192.0.2.2"), going);
}

#[tokio::test(start_paused = true)]
async fn slots_and_counts_are_given_back() {
    let slots = Slots::new(2, 2, Vec::new());
    for _ in 0..10 {
        let one = take(&slots, "2001:db8::1").await;
        let other = take(&slots, "2001:db8::2").await;
        drop(one.place().verified());
        assert!(slots.enter(peer("2001:db8::3")).is_none(), "one network");
        drop((one, other));
    }
    assert_eq!(slots.free.available_permits(), 2);
    let taken = slots.taken();
    assert!(taken.seats.is_empty() && taken.crowds.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_trusted_proxy_and_this_machine_may_have_all_the_slots() {
    let slots = Slots::new(4, 1, vec!["10.0.0.0/8".parse().unwrap()]);
    let mut open = Vec::new();
    for from in ["10.1.2.3", "10.1.2.3", "127.0.0.1", "127.0.0.1"] {
        open.push(take(&slots, from).await);
    }
    assert!(open.iter().all(|slot| slot.entry.party.is_none()));
    assert!(slots.enter(peer("192.0.2.1")).is_some());
    assert!(slots.enter(None).is_some());
}
