//! The terminal of `top`: a page drawn in place, keys, and everything given back at the end.
//!
//! Guarantees: however it ends (a key, a signal, an error, a panic), the terminal is as it was before, with what stood on it.
//! Never: writes anything but whole pages while it lasts.
//! Comes from: `cli::top`. Goes to: the terminal.

use super::Failure;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use std::io::{Write, stdout};
use std::sync::Once;
use std::time::Duration;

/// What a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// Nothing that matters.
    Nothing,
    /// Made the window larger or smaller.
    Resized,
    /// Wants out.
    Quit,
}

/// The terminal while it is ours; given back when dropped.
pub struct Screen(());

/// Columns and lines of a terminal, if standard output is one.
pub fn measured() -> Option<(usize, usize)> {
    size().ok().map(|(columns, lines)| (usize::from(columns).max(1), usize::from(lines).max(1)))
}

fn failed(e: std::io::Error) -> Failure {
    Failure::Runtime(format!("the terminal does not do what top needs ({e}); use --once, or -o json"))
}

impl Screen {
    /// Takes the terminal.
    pub fn enter() -> Result<Screen, Failure> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back(); // first, so that the message stays on the screen
                before(panic);
            }));
        });
        enable_raw_mode().map_err(failed)?;
        let screen = Screen(());
        execute!(stdout(), EnterAlternateScreen, DisableLineWrap, Hide, Clear(ClearType::All)).map_err(failed)?;
        Ok(screen)
    }

    /// Draws a page in the place of the one before.
    pub fn draw(&self, page: &str) -> Result<(), Failure> {
        let mut out = stdout().lock();
        let mut drawn = || {
            queue!(out, BeginSynchronizedUpdate, MoveTo(0, 0))?;
            for (i, line) in page.lines().enumerate() {
                let next = if i > 0 { "\r\n" } else { "" };
                write!(out, "{next}{line}")?;
                queue!(out, Clear(ClearType::UntilNewLine))?;
            }
            queue!(out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
            out.flush()
        };
        drawn().map_err(failed)
    }

    /// Waits for a person, at most so long.
    pub fn wait(&self, patience: Duration) -> Result<Did, Failure> {
        if !event::poll(patience).map_err(failed)? {
            return Ok(Did::Nothing);
        }
        Ok(meant(&event::read().map_err(failed)?))
    }
}

fn meant(event: &Event) -> Did {
    match event {
        Event::Resize(..) => Did::Resized,
        Event::Key(KeyEvent { kind: KeyEventKind::Release, .. }) => Did::Nothing,
        Event::Key(KeyEvent { code: KeyCode::Char('q' | 'Q') | KeyCode::Esc, .. }) => Did::Quit,
        Event::Key(KeyEvent { code: KeyCode::Char('c' | 'd'), modifiers, .. }) if modifiers.contains(KeyModifiers::CONTROL) => Did::Quit,
        _ => Did::Nothing,
    }
}

fn give_back() {
    // each for itself: a terminal that is gone must not keep the others from being tried
    execute!(stdout(), EndSynchronizedUpdate, EnableLineWrap, Show, LeaveAlternateScreen).ok();
    disable_raw_mode().ok();
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}
