//! The configuration from outside: what is refused, in which words, and what can be set at all.

use hookgate::config::{Config, Inputs};

#[test]
fn the_defaults_alone_are_valid() {
    let config = Config::load(&Inputs::default());
    assert_eq!(
        config.map(drop).map_err(|faults| faults.to_string()),
        Ok(())
    );
}
