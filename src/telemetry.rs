//! Logs: one line per fact, as text for people or as JSON for machines.
//!
//! Lines go to standard error through a bounded queue of their own thread: when nobody reads them,
//! lines are dropped (and counted) rather than requests held up. `tracing-subscriber` escapes
//! control characters in what senders wrote.

use std::any::Any;
use std::io::{IsTerminal, Write as _};

use tracing::Metadata;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How to write logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Form of a line.
    pub format: Format,
    /// A level, or a filter as `tracing-subscriber` reads it.
    pub level: String,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Keeps the log thread running; dropping it writes out what is queued.
pub struct Logs {
    _guard: WorkerGuard,
    dropped: ErrorCounter,
}

impl Logs {
    /// Lines given up because nobody read them fast enough.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

/// Whether `level` is a level or filter that can be understood.
#[must_use]
pub fn is_level(level: &str) -> bool {
    // A bare word that is no level is a target to EnvFilter, and would turn everything else off.
    let is_word = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    let mut parts = level.split(',').map(str::trim);
    parts.all(|part| is_word(part) || part.contains('=')) && EnvFilter::try_new(level).is_ok()
}

/// Whether a line may be written whatever the level asked for. h2 quotes paths that it refuses, and
/// a path may hold a token; and it warns of every flood, so that any peer could fill the log.
fn is_ours_to_write(line: &Metadata<'_>) -> bool {
    line.target() != "h2" && !line.target().starts_with("h2::")
}

/// Starts logging for the whole process; later calls change nothing.
#[must_use]
pub fn start(config: &Config) -> Logs {
    let (sink, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(16_384)
        .finish(std::io::stderr());
    let dropped = sink.error_counter();
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(sink)
        .with_ansi(terminal);
    let silence = filter_fn(is_ours_to_write);
    let as_json = config.format == Format::Json || (config.format == Format::Auto && !terminal);
    // A second start in one process (tests) keeps the first subscriber.
    let _ = if as_json {
        let lines = builder.json().flatten_event(true).finish();
        lines.with(silence).try_init()
    } else {
        let lines = builder.with_target(false).compact().finish();
        lines.with(silence).try_init()
    };
    Logs {
        _guard: guard,
        dropped,
    }
}

/// From now on a panic says where it happened, and what only if that is part of the program: a text
/// made of values may hold a secret.
pub fn conceal_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let (at, text) = (at.unwrap_or_default(), text_of(panic.payload()));
        let _ = writeln!(std::io::stderr(), "hookgate panicked at {at}: {text}");
    }));
}

fn text_of(panic: &(dyn Any + Send)) -> &'static str {
    let fixed = panic.downcast_ref::<&'static str>();
    fixed.copied().unwrap_or("its text is not shown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_does_not_say_what_was_in_a_value() {
        let text = |panic: Box<dyn Any + Send>| text_of(&*panic);
        assert_eq!(text(Box::new("it cannot be")), "it cannot be");
        assert_eq!(text(Box::new("canary".to_owned())), "its text is not shown");
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_filter() {
        for level in ["info", "WARN", "off", "info,hookgate::forward=debug"] {
            assert!(is_level(level), "{level}");
        }
        for level in ["", "inof", "info,loud", "hookgate=loud", "info;debug"] {
            assert!(!is_level(level), "{level}");
        }
    }
}
