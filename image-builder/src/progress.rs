//! What a person sees while a build runs: a spinner per stage on a terminal, plain lines otherwise.

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// What a step of a test does, in words, and how; it returns what it found.
pub(crate) type Step<R> = (&'static str, fn(&mut R) -> Result<String>);

/// Shows one stage at a time, on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
}

impl Progress {
    /// A display fit for what standard error is.
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    /// Begins a stage; `what` is a gerund phrase.
    pub(crate) fn stage(&self, what: &str) -> Stage {
        let bar = self.terminal.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}  {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            eprintln!("{what} …");
        }
        Stage { bar, what: what.to_owned(), began: Instant::now() }
    }

    /// Goes through the steps of a test, each a stage, until one does not hold.
    ///
    /// # Errors
    /// That step, its number, and what it has seen.
    pub(crate) fn go_through<R>(&self, steps: &[Step<R>], run: &mut R) -> Result<()> {
        for (number, (what, step)) in steps.iter().enumerate() {
            let shown = self.stage(&format!("{:2} of {}: {what}", number + 1, steps.len()));
            // A stage that is not done leaves no line.
            let found = step(run).with_context(|| format!("step {} failed, {what}", number + 1))?;
            shown.done(&found);
        }
        Ok(())
    }

    /// Says something that is not part of a stage.
    #[expect(clippy::unused_self, reason = "a display is needed to say something")]
    pub(crate) fn say(&self, what: &str) {
        eprintln!("{what}");
    }
}

/// A stage that runs. Dropped without [`Stage::done`] it has failed, and leaves no line behind.
#[derive(Debug)]
pub(crate) struct Stage {
    bar: Option<ProgressBar>,
    what: String,
    began: Instant,
}

impl Stage {
    /// Shows what goes on inside the stage; only on a terminal.
    pub(crate) fn detail(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.trim().to_owned());
        }
    }

    /// Ends the stage well.
    pub(crate) fn done(self, result: &str) {
        let result = if result.is_empty() { String::new() } else { format!(": {result}") };
        let line = format!("{}{result} ({:.1} s)", self.what, self.began.elapsed().as_secs_f64());
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{line}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
