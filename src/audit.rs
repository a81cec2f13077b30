//! Who changed what outside of this process: one line of the log for each act.
//!
//! Guarantees: a line says who (the system's user, host, instance), what, on which objects, with which result; its target is `audit`, and it
//! is written however few lines the log is asked for. Never: holds a secret or a value of a record; is written for what only reads.
//! Comes from: `cli` and `stage`, where the act is done. Goes to: the log, on standard error.

use crate::config::settings::Settings;

/// The target of these lines.
pub const TARGET: &str = "audit";

/// Writes the line of an act.
pub fn record(settings: &Settings, action: &str, objects: &[String], result: &str) {
    if !tracing::enabled!(target: TARGET, tracing::Level::INFO) {
        return;
    }
    let (user, host, instance, app) = (user(), host(), &settings.instance, &settings.app);
    let objects = objects.join(", ");
    tracing::info!(target: TARGET, user, host, instance, app, action, objects, result, "audit: {action} ({objects}): {result}");
}

/// Name and number of the user as whom this process acts; the number alone where the system has no name for it.
fn user() -> String {
    // SAFETY: it only answers, and can't fail.
    let id = unsafe { libc::geteuid() };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(&users, id).map_or_else(|| id.to_string(), |name| format!("{name} ({id})"))
}

fn name_of(users: &str, id: u32) -> Option<&str> {
    let id = id.to_string();
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then_some(name)
    })
}

fn host() -> String {
    let mut name = [0u8; 256];
    // SAFETY: it writes at most as many bytes as it is told, into a buffer of that size; the last one stays 0.
    let done = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } == 0;
    let end = name.iter().position(|b| *b == 0).filter(|_| done).unwrap_or(0);
    String::from_utf8_lossy(&name[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_the_names_that_the_system_gives_them() {
        let users = "root:x:0:0:root:/root:/bin/sh\nodd line\nops:x:1000:1000::/home/ops:/bin/sh\n";
        assert_eq!([0, 1000, 65532].map(|id| name_of(users, id)), [Some("root"), Some("ops"), None]);
        assert!(!user().is_empty() && !host().is_empty());
    }
}
