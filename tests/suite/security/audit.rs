//! The audit log: who, from where, what, how much, how it ended.

use super::*;

#[test]
fn everything_that_was_asked_is_there() {
    let server = Guarded::start("rap+unix", |options| {
        options.permissions = Permissions::ALL.without(Permissions::EXEC);
    });
    let mut device = server.open("malloc://64", Security::default()).unwrap();
    let mut bytes = [0; 10];
    device.read_at(4, &mut bytes).unwrap();
    run_there(&mut *device, "?e hello");
    run_there(&mut *device, "!id");
    run_there(&mut *device, "?e token=00112233445566778899aabbccddeeff");
    drop(device);
    let error = server.refusal("/nosuch/file", Security::default());
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    let socket = server.path("socket").display().to_string();
    let events = server.audited();
    let user = format!("user {}", rustix::process::geteuid().as_raw());
    for event in &events {
        assert_eq!((event["who"].as_str(), event["from"].as_str()), (Some(user.as_str()), Some(socket.as_str())));
        assert_eq!(event["service"], "rap");
        assert!(event["time"].as_str().unwrap().ends_with('Z') && event["microseconds"].is_u64());
    }
    let found = |kind: &str, what: &str| {
        let found = events.iter().find(|event| event["event"] == kind && event["what"].as_str().unwrap_or("") == what);
        found.unwrap_or_else(|| panic!("{kind} {what}: {events:#?}"))
    };
    found("connect", "");
    assert_eq!(found("open", "malloc://64")["result"], "ok");
    assert!(found("open", "/nosuch/file")["result"].as_str().unwrap().contains("No such file"));
    assert_eq!(found("command", "?e hello")["result"], "ok");
    assert_eq!(found("command", "?e hello")["read"], 6);
    assert!(found("command", "!id")["result"].as_str().unwrap().contains("it needs exec"));
    // Two connections ended, in either order.
    let ends: Vec<_> = events.iter().filter(|event| event["event"] == "disconnect").collect();
    assert!(ends.iter().any(|end| end["read"] == 10), "{ends:?}");
    assert!(!events.iter().any(|event| event.to_string().contains("00112233")), "secrets are left out");
}

#[test]
fn what_cannot_be_recorded_is_not_done() {
    // Every write to it fails.
    let full = PathBuf::from("/dev/full");
    let server = Guarded::start("rap+unix", |options| options.audit = Some(full));
    let witness = server.path("made");
    let error = server.refusal("malloc://64", Security::default());
    assert_eq!(error.kind(), Kind::Closed, "{error}");
    assert!(!witness.exists());
}
