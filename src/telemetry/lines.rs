//! Log lines: their format, and the escaping of everything foreign in them.
//!
//! Invariant: an event is one line, and holds no invisible character but the space. So no foreign
//! text can begin a line of its own, control a terminal or turn the direction of writing. Lines have
//! no colours, because those are control characters too.

use std::io;

use tracing::Subscriber;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;
use crate::domain::{escaped, escaped_json};

pub(super) fn layer<S, W>(format: LogFormat, to: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let writer = Escaping { format, to };
    match format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(false).with_writer(writer).boxed(),
    }
}

/// Escapes what is written to `to`.
struct Escaping<W> {
    format: LogFormat,
    to: W,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Escaping<W> {
    type Writer = Escaping<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Escaping { format: self.format, to: self.to.make_writer() }
    }
}

impl<W: io::Write> io::Write for Escaping<W> {
    /// Writes one event: the formatter writes each in one piece, with a line break at its end.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = match text.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (&*text, ""),
        };
        let line = match self.format {
            LogFormat::Json => escaped_json(line),
            LogFormat::Text => escaped(line),
        };
        self.to.write_all(format!("{line}{end}").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const TRICKS: &str = "x\n2026 INFO all is well\r\u{1b}[2J\u{202e}\u{200b}\u{9b}\u{2028}";

    fn logged(format: LogFormat) -> String {
        let kept = Kept::default();
        let to = {
            let kept = kept.clone();
            move || kept.clone()
        };
        tracing::subscriber::with_default(Registry::default().with(layer(format, to)), || {
            let span = tracing::info_span!("a span", debug = ?TRICKS, display = %TRICKS);
            span.in_scope(|| tracing::info!(shown = %TRICKS, value = TRICKS, "{TRICKS}"));
        });
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        // JSON shows the span twice.
        for (format, times) in [(LogFormat::Text, 5), (LogFormat::Json, 7)] {
            let text = logged(format);
            let line = text.strip_suffix('\n').unwrap();
            assert!(!line.contains(|c| c != ' ' && crate::domain::is_invisible(c)), "{line}");
            assert_eq!(line.to_lowercase().matches("202e").count(), times, "{line}");
        }
        let value: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json)).unwrap();
        assert_eq!((&value["message"], &value["shown"]), (&TRICKS.into(), &TRICKS.into()));
    }
}
