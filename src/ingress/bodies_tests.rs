//! Who gets memory when there is not enough, under a paused clock.

use super::*;

fn party(host: u8) -> Option<Party> {
    Party::of(Some(format!("192.0.2.{host}").parse().unwrap()))
}

async fn holding(budget: &BodyBudget, from: Option<Party>, bytes: usize) -> BodyShare {
    let mut share = budget.share(from);
    share.grow_by(bytes).await.unwrap();
    share
}

/// Whether somebody asks for its memory.
async fn is_wanted(share: &BodyShare) -> bool {
    let moment = Instant::now() + Duration::from_nanos(1);
    timeout_at(moment, share.wanted()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn large_bodies_leave_room_for_small_ones() {
    let budget = BodyBudget::new(4 * SMALL);
    let _large = holding(&budget, party(1), 4 * SMALL).await;
    assert_eq!(budget.share(party(1)).grow_by(2 * SMALL).await, Err(NoRoom));
    assert_eq!(budget.share(party(1)).grow_by(SMALL).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn body_memory_is_given_back() {
    let budget = BodyBudget::new(8 * SMALL);
    for _ in 0..3 {
        let mut share = holding(&budget, party(1), 6 * SMALL).await;
        share.grow_by(2 * SMALL).await.unwrap();
        assert_eq!(share.grow_by(1).await, Err(NoRoom));
    }
    let used = budget.0.used();
    assert_eq!((used.bytes, used.bodies, used.waiting), (0, 0, 0));
    assert!(used.holders.is_empty() && (used.leaving, used.wanted) == (0, 0));
}

/// A body as large as the whole budget is allowed by the configuration; its head is counted too.
#[tokio::test(start_paused = true)]
async fn the_largest_body_fits_beside_its_head() {
    let budget = BodyBudget::new(4 * SMALL);
    let mut share = budget.share(party(1));
    let (head, ()) = http::Request::new(()).into_parts();
    share.grow_by_head(&head).await.unwrap();
    share.grow_by(4 * SMALL).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn heads_are_counted_before_there_is_any_body() {
    let budget = BodyBudget::new(4 * SMALL);
    let (mut head, ()) = http::Request::new(()).into_parts();
    let long = http::HeaderValue::from_bytes(&[b'a'; 12 * 1024]).unwrap();
    head.headers.insert("x-long", long);
    let mut open = Vec::new();
    for _ in 0..4 * 5 {
        let mut share = budget.share(None);
        if share.grow_by_head(&head).await.is_err() {
            break;
        }
        open.push(share);
    }
    assert_eq!(open.len(), 5 * SMALL / (REQUEST_BYTES + 12 * 1024 + 100));
}

#[tokio::test(start_paused = true)]
async fn the_peer_with_the_most_gives_up_its_largest_request_for_whoever_has_less() {
    let budget = BodyBudget::new(4 * SMALL);
    let small = holding(&budget, party(1), SMALL).await;
    let large = holding(&budget, party(1), 2 * SMALL).await;
    let other = holding(&budget, party(2), SMALL - 1000).await;
    let mut newcomer = budget.share(party(3));
    let giving_up = async {
        large.wanted().await;
        drop(large);
    };

    let (grown, ()) = tokio::join!(newcomer.grow_by(SMALL + 1), giving_up);

    assert_eq!(grown, Ok(()));
    assert!(!is_wanted(&small).await && !is_wanted(&other).await);
}

/// One after the other was asked, each once the last had gone: on a busy machine that was ten a second.
#[tokio::test(start_paused = true)]
async fn as_many_give_up_at_once_as_others_need() {
    let budget = BodyBudget::new(4 * SMALL);
    let large = [
        holding(&budget, party(1), 2 * SMALL).await,
        holding(&budget, party(2), 2 * SMALL).await,
    ];
    let _rest = holding(&budget, party(3), SMALL).await;
    let (mut one, mut other) = (budget.share(party(4)), budget.share(party(5)));
    let giving_up = async {
        for large in &large {
            large.wanted().await;
        }
        drop(large);
    };
    let small = SMALL + 1; // too large for what is set aside
    let (first, second, ()) = tokio::join!(one.grow_by(small), other.grow_by(small), giving_up);
    assert_eq!((first, second), (Ok(()), Ok(())));
}

/// Hostile requests took all places to wait, and a genuine one that somebody would have made room for
/// was told to come again at once.
#[tokio::test(start_paused = true)]
async fn those_for_whom_nobody_gives_anything_up_leave_places_to_wait() {
    let budget = BodyBudget::new(4 * SMALL);
    let large = holding(&budget, party(1), 4 * SMALL).await;
    let mut heavies = tokio::task::JoinSet::new();
    for _ in 0..WAITING_MAX {
        let budget = budget.clone();
        heavies.spawn(async move { budget.share(party(1)).grow_by(4 * SMALL).await });
    }
    let genuine = async {
        tokio::task::yield_now().await;
        assert_eq!(budget.0.used().waiting, HEAVY_WAITING_MAX);
        budget.0.used().waiting = LIGHT_WAITING_MAX; // as many others of some weight
        let mut share = budget.share(party(2));
        let grown = share.grow_by(SMALL + 1).await;
        budget.0.used().waiting -= LIGHT_WAITING_MAX - HEAVY_WAITING_MAX;
        grown
    };
    let giving_up = async {
        large.wanted().await;
        drop(large);
    };
    let (genuine, ()) = tokio::join!(genuine, giving_up);
    assert_eq!(genuine, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_complete_before_it_could_give_up_is_replaced_by_the_next() {
    let budget = BodyBudget::new(4 * SMALL);
    let largest = holding(&budget, party(1), 2 * SMALL + 1).await;
    let next = holding(&budget, party(2), 2 * SMALL - 1).await;
    let mut newcomer = budget.share(party(3));
    let giving_up = async {
        largest.wanted().await;
        largest.complete();
        next.wanted().await;
        drop(next);
    };
    let (grown, ()) = tokio::join!(newcomer.grow_by(SMALL + 1), giving_up);
    assert_eq!(grown, Ok(()));
}

/// Heads that were waiting themselves were all turned away for one newcomer, and nothing came of it.
#[tokio::test(start_paused = true)]
async fn whoever_occupies_nothing_yet_is_not_asked_to_give_up() {
    let budget = BodyBudget::new(4 * SMALL);
    let complete = holding(&budget, party(1), 4 * SMALL).await;
    complete.complete();
    let empty = budget.share(party(1));
    assert_eq!(budget.share(party(2)).grow_by(2 * SMALL).await, Err(NoRoom));
    assert!(!is_wanted(&empty).await);
}

#[tokio::test(start_paused = true)]
async fn a_peer_does_not_give_up_one_request_for_another() {
    let budget = BodyBudget::new(4 * SMALL);
    let mut own = holding(&budget, party(1), SMALL / 2).await;
    let mut waiting = budget.share(party(1));
    let _other = holding(&budget, party(2), 3 * SMALL).await;
    let growing = async {
        tokio::task::yield_now().await;
        own.grow_by(SMALL / 2).await.unwrap();
        is_wanted(&own).await
    };
    let (grown, wanted) = tokio::join!(waiting.grow_by(4 * SMALL), growing);
    assert_eq!((grown, wanted), (Err(NoRoom), false));
}

#[tokio::test(start_paused = true)]
async fn whoever_has_more_than_anybody_else_waits_and_is_then_refused() {
    let budget = BodyBudget::new(4 * SMALL);
    let one = holding(&budget, party(1), 2 * SMALL).await;
    let other = holding(&budget, party(2), 2 * SMALL).await;
    let mut third = budget.share(party(2));
    let began = Instant::now();
    assert_eq!(third.grow_by(2 * SMALL).await, Err(NoRoom));
    assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
    assert!(!is_wanted(&one).await && !is_wanted(&other).await);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_as_soon_as_there_is_room() {
    let budget = BodyBudget::new(4 * SMALL);
    let holder = holding(&budget, party(1), 4 * SMALL).await;
    let mut waiting = budget.share(party(1));
    let (grown, ()) = tokio::join!(waiting.grow_by(2 * SMALL), async { drop(holder) });
    assert_eq!(grown, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_wait() {
    let budget = BodyBudget::new(4 * SMALL);
    let holder = holding(&budget, None, 4 * SMALL).await;
    holder.complete();
    budget.0.used().waiting = WAITING_MAX;
    let began = Instant::now();
    assert_eq!(budget.share(None).grow_by(2 * SMALL).await, Err(NoRoom));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_complete_body_is_not_asked_for_its_memory() {
    let budget = BodyBudget::new(4 * SMALL);
    let complete = holding(&budget, party(1), 4 * SMALL).await;
    complete.complete();
    assert_eq!(budget.share(party(2)).grow_by(2 * SMALL).await, Err(NoRoom));
    assert!(!is_wanted(&complete).await);
}
