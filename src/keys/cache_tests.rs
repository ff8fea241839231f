use super::*;
use crate::keys::target::Target;

const START: UnixMillis = UnixMillis(1_735_689_600_000);

fn target(path: &str) -> Target {
    let url = format!("https://keys.example.com/{path}");
    Target::requested(&url, &["*.example.com"]).unwrap()
}

fn keys(kids: &[&str]) -> Vec<PublicKey> {
    let keys = kids.iter().map(|kid| {
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","kid":"KID",
            "x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}"#;
        PublicKey::parse(
            jwk.replace("KID", kid).as_bytes(),
            crate::keys::PublicForm::Jwk,
        )
    });
    keys.flat_map(Result::unwrap).collect()
}

fn failure() -> FetchError {
    FetchError::TimedOut
}

fn look(cache: &mut Cache, wanted: &Wanted, now: UnixMillis) -> &'static str {
    match cache.look(wanted, now) {
        Cached::Keys(_) => "keys",
        Cached::Unknown => "unknown",
        Cached::Missing => "missing",
    }
}

/// What a set with the key `a` is good for, so long after it was fetched.
fn after(max_age: Option<u64>, kid: Option<&str>, seconds: u64) -> &'static str {
    let mut cache = Cache::default();
    let max_age = max_age.map(Duration::from_secs);
    let set = Wanted::jwks(target("set"), kid);
    cache.settle(&set, Ok((keys(&["a"]), max_age)), START);
    look(&mut cache, &set, START.plus(Duration::from_secs(seconds)))
}

#[test]
fn keys_count_as_long_as_their_sender_says_within_bounds() {
    for (max_age, fresh) in [
        (Some(0), 300),
        (Some(299), 300),
        (Some(7200), 7200),
        (Some(u64::MAX), 24 * 3600),
        (None, 3600),
    ] {
        assert_eq!(after(max_age, None, fresh - 1), "keys", "{max_age:?}");
        assert_eq!(after(max_age, None, fresh), "missing", "{max_age:?}");
    }
}

#[test]
fn a_set_that_lacks_a_key_is_asked_again_after_a_minute() {
    assert_eq!(after(None, Some("a"), 59), "keys");
    assert_eq!(after(None, Some("b"), 0), "unknown");
    assert_eq!(after(None, Some("b"), 59), "unknown");
    assert_eq!(after(None, Some("b"), 60), "missing");
}

#[test]
fn a_key_without_a_name_may_be_the_wanted_one() {
    let mut cache = Cache::default();
    let named = Wanted::jwks(target("set"), Some("a"));
    let mut unnamed = keys(&["x"]);
    unnamed[0].kid = None;
    cache.settle(&named, Ok((unnamed, None)), START);
    assert_eq!(look(&mut cache, &named, START), "keys");
}

#[test]
fn old_keys_stand_in_for_a_day_when_they_cannot_be_renewed() {
    let mut cache = Cache::default();
    let set = Wanted::jwks(target("set"), Some("a"));
    cache.settle(&set, Ok((keys(&["a"]), None)), START);
    for (hours, expected) in [(2, "keys"), (24, "keys"), (25, "missing")] {
        let now = START.plus(Duration::from_hours(hours));
        assert_eq!(look(&mut cache, &set, now), "missing");
        cache.settle(&set, Err(failure()), now);
        assert_eq!(look(&mut cache, &set, now), expected, "{hours}");
        let other = Wanted::jwks(target("set"), Some("b"));
        assert_eq!(look(&mut cache, &other, now), "missing", "{hours}");
    }
}

#[test]
fn a_failure_is_remembered_for_ten_seconds() {
    let mut cache = Cache::default();
    let wanted = Wanted::certificate(target("cert"));
    assert!(cache.admit(&wanted, None, START).is_ok());
    cache.settle(&wanted, Err(failure()), START);
    let later = |seconds| START.plus(Duration::from_secs(seconds));
    assert_eq!(look(&mut cache, &wanted, later(9)), "missing");
    let refused = cache.admit(&wanted, None, later(9));
    assert!(matches!(refused, Err(FetchError::TimedOut)));
    assert!(cache.admit(&wanted, None, later(10)).is_ok());
}

#[test]
fn requests_cannot_cause_more_than_some_fetches_a_minute() {
    let mut cache = Cache::default();
    let known = Wanted::jwks(target("known"), None);
    cache.settle(&known, Ok((keys(&["a"]), None)), START);
    let forged = |number: u32| Wanted::certificate(target(&number.to_string()));
    for number in 0..NEW_PER_MINUTE_MAX {
        assert!(cache.admit(&forged(number), None, START).is_ok());
    }
    let refused = cache.admit(&forged(99), None, START);
    assert!(matches!(refused, Err(FetchError::Busy)));
    assert!(cache.admit(&known, None, START).is_ok(), "renewal");
    let other = Target::configured("https://keys.example.com/").unwrap();
    let other = Wanted::jwks(other, None);
    assert!(
        cache.admit(&other, None, START).is_ok(),
        "another source's host"
    );
    let next = START.plus(Duration::from_mins(1));
    assert!(cache.admit(&forged(99), None, next).is_ok());
}

fn party(host: usize) -> Option<Party> {
    Party::of(Some(format!("192.0.2.{host}").parse().unwrap()))
}

/// The fetches of a minute were anybody's: one forger that named thirty certificates kept the keys of
/// a sender that had just begun from being fetched, minute after minute.
#[test]
fn one_forger_does_not_use_up_the_fetches_of_others() {
    let mut cache = Cache::default();
    let mut forged = 0;
    let mut place = || {
        forged += 1;
        Wanted::certificate(target(&forged.to_string()))
    };
    let mut caused = |cache: &mut Cache, forger| {
        let tries = (0..100).map(|_| cache.admit(&place(), party(forger), START));
        tries.filter(Result::is_ok).count()
    };
    assert_eq!(caused(&mut cache, 1), 5);
    assert_eq!(caused(&mut cache, 2), 5);
    for forger in 3..20 {
        assert_eq!(caused(&mut cache, forger), 1, "{forger}");
    }
    let genuine = Wanted::certificate(target("genuine"));
    assert!(cache.admit(&genuine, party(20), START).is_ok());
    let next = START.plus(Duration::from_mins(1));
    for _ in 0..NEW_PER_PEER_MAX {
        assert!(cache.admit(&place(), party(1), next).is_ok());
    }
}

#[test]
fn forgers_do_not_use_up_what_verified_requests_ask_for() {
    let mut cache = Cache::default();
    for number in 0..100 {
        let forged = Wanted::certificate(target(&number.to_string()));
        let _ = cache.admit(&forged, None, START);
    }
    assert!(cache.admit_visit("*.example.com", START).is_ok());
}

#[test]
fn what_is_remembered_is_bounded_and_keys_stay_longest() {
    let mut cache = Cache::default();
    let place = |number: usize| Wanted::certificate(target(&number.to_string()));
    let later = |number: usize| START.plus(Duration::from_millis(number as u64));
    for number in 0..2 {
        let found = Ok((keys(&["a"]), None));
        cache.settle(&place(number), found, later(number));
    }
    for number in 2..1000 {
        cache.settle(&place(number), Err(failure()), later(number));
        assert!(cache.entries.len() <= ENTRIES_MAX);
    }
    assert_eq!(look(&mut cache, &place(1), later(1000)), "keys");
    assert_eq!(look(&mut cache, &place(0), later(1001)), "keys");
    for number in 1002..1002 + ENTRIES_MAX - 1 {
        let found = Ok((keys(&["a"]), None));
        cache.settle(&place(number), found, later(number));
    }
    assert_eq!(look(&mut cache, &place(0), later(1100)), "keys");
    assert_eq!(look(&mut cache, &place(1), later(1100)), "missing");
}

#[test]
fn keys_that_are_asked_for_by_name_have_a_place_each() {
    let mut cache = Cache::default();
    let by_name = |kid| Wanted::by_name(target("get"), kid, "client", "secret");
    cache.settle(&by_name("a"), Ok((keys(&["a"]), None)), START);
    assert_eq!(look(&mut cache, &by_name("a"), START), "keys");
    assert_eq!(look(&mut cache, &by_name("b"), START), "missing");
    cache.settle(&by_name("b"), Ok((Vec::new(), None)), START);
    assert_eq!(look(&mut cache, &by_name("b"), START), "unknown");
    assert_eq!(look(&mut cache, &by_name("a"), START), "keys");
    cache.settle(&by_name("c"), Ok((keys(&["x"]), None)), START);
    assert_eq!(
        look(&mut cache, &by_name("c"), START),
        "unknown",
        "another key"
    );
}
