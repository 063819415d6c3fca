//! How the engine notices what a plugin must not do.

/// How the engine notices what a plugin must not do: the one choice that reaches into the
/// program around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Traps {
    /// By comparisons in its code. Changes nothing in the program around it, so it is what
    /// an embedded supervisor has. Costs some speed, and mitigations of Spectre are off.
    #[default]
    Checked,
    /// By handlers of SIGSEGV, SIGILL, SIGFPE and SIGBUS for the whole program, which pass on
    /// what is not theirs. For programs of which that is known: the `kennel` binary.
    Signals,
}
