//! The grammars of provider files.

use super::{AnswerText, ValueSource};
use crate::fuzzing::Input;

/// The files of the catalogue, by id.
pub(crate) fn shipped() -> &'static [(&'static str, &'static str)] {
    super::EMBEDDED
}

/// A value source is printed as it was read, and reads as the same again; so is an answer.
pub fn value_sources(data: &[u8]) {
    let mut input = Input::new(data);
    let (source, answer) = (input.text(), input.text());
    if let Ok(read) = source.parse::<ValueSource>() {
        assert_eq!(read.as_str(), source);
        assert_eq!(
            read.as_str().parse::<ValueSource>().ok().as_ref(),
            Some(&read)
        );
        let places = [
            read.place.header().is_some(),
            read.place.is_in_body(),
            read.place.config_name().is_some(),
        ];
        assert!(places.iter().filter(|is| **is).count() <= 1, "{source}");
    }
    if let Ok(read) = answer.parse::<AnswerText>() {
        let printed = serde_json::to_value(&read).ok();
        let again = printed.and_then(|json| serde_json::from_value::<AnswerText>(json).ok());
        assert_eq!(again.as_ref(), Some(&read));
    }
}
