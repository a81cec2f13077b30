//! Rights as docs/operations.md lists them, as Kafka knows them, and giving them to many users at once.

use driftline::kafka::rights::{Operation, Resource};
use rdkafka::bindings as native;
use rdkafka::bindings::rd_kafka_AclOperation_t as Native;
use rdkafka::bindings::rd_kafka_AclPermissionType_t as Permission;
use rdkafka::bindings::rd_kafka_ResourcePatternType_t as Pattern;
use rdkafka::bindings::rd_kafka_ResourceType_t as Kind;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::ptr::null_mut;

/// One operation on one resource.
pub type Right = (Resource, Operation);

const ALL: [Operation; 5] = [Operation::Read, Operation::Write, Operation::Delete, Operation::Describe, Operation::DescribeConfigs];

fn operation(name: &str) -> Operation {
    let letters = |text: &str| text.replace('_', "").to_ascii_lowercase();
    ALL.into_iter().find(|o| letters(&format!("{o:?}")) == letters(name)).unwrap_or_else(|| panic!("no operation {name:?}"))
}

fn resource(kind: &str, name: &str) -> Resource {
    let make = match kind.to_ascii_lowercase().replace('_', "").as_str() {
        "topic" | "topics" => Resource::Topic,
        "group" | "groups" => Resource::Group,
        "transactional" | "transactionalid" => Resource::TransactionalIds,
        other => panic!("no kind of resource: {other:?}"),
    };
    make(name.to_string())
}

/// The rows of the table of rights; `names` puts the application's names in place.
pub fn of_the_table(docs: &str, names: impl Fn(&str) -> String) -> BTreeSet<Right> {
    let section = docs.split("## Topics and rights").nth(1).expect("the section").split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|l| l.starts_with("| ") && l.contains('`'));
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let kind = cells[1].split(' ').next().unwrap_or_default();
        let resources: Vec<Resource> = cells[1].split('`').skip(1).step_by(2).map(|n| resource(kind, &names(n))).collect();
        let operations: Vec<Operation> = cells[2].split(", ").map(operation).collect();
        resources.into_iter().flat_map(move |r| operations.clone().into_iter().map(move |o| (r.clone(), o)))
    })
    .collect()
}

/// The block of commands that grants them.
pub fn commands(docs: &str) -> &str {
    let found = docs.split("```sh\n").skip(1).find(|block| block.contains("--allow-principal")).expect("commands that grant rights");
    found.split("```").next().unwrap_or_default()
}

/// What `kafka-acls.sh --list` prints.
pub fn of_the_list(text: &str) -> BTreeSet<Right> {
    let after = |line: &str, key: &str| line.split_once(key).and_then(|l| l.1.split([',', ')']).next().map(str::to_string));
    let (mut rights, mut on) = (BTreeSet::new(), None);
    for line in text.lines() {
        if let (Some(kind), Some(name)) = (after(line, "resourceType="), after(line, " name=")) {
            on = Some(resource(&kind, &name));
        } else if let (Some(found), Some(on)) = (after(line, "operation="), &on) {
            rights.insert((on.clone(), operation(&found)));
        }
    }
    rights
}

/// Adds ACLs: (user, right, allowed).
pub fn add(client: *mut native::rd_kafka_t, acls: &[(String, Right, bool)]) {
    // SAFETY: the client is alive (the caller has it); everything that is made here is destroyed here, after its last use.
    unsafe {
        let queue = native::rd_kafka_queue_new(client);
        let mut bindings: Vec<_> = acls.iter().map(|acl| binding(acl)).collect();
        native::rd_kafka_CreateAcls(client, bindings.as_mut_ptr(), bindings.len(), null_mut(), queue);
        let event = native::rd_kafka_queue_poll(queue, 30_000);
        assert!(!event.is_null(), "no answer to the ACLs");
        let (code, text) = (native::rd_kafka_event_error(event), CStr::from_ptr(native::rd_kafka_event_error_string(event)));
        assert_eq!(code, native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR, "ACLs: {}", text.to_string_lossy());
        let mut n = 0;
        let results = native::rd_kafka_CreateAcls_result_acls(native::rd_kafka_event_CreateAcls_result(event), &mut n);
        for i in 0..n {
            let error = native::rd_kafka_acl_result_error(*results.add(i));
            assert!(error.is_null(), "an ACL: {}", CStr::from_ptr(native::rd_kafka_error_string(error)).to_string_lossy());
        }
        assert_eq!(n, acls.len());
        native::rd_kafka_event_destroy(event);
        bindings.into_iter().for_each(|b| native::rd_kafka_AclBinding_destroy(b));
        native::rd_kafka_queue_destroy(queue);
    }
}

unsafe fn binding((user, (resource, operation), allowed): &(String, Right, bool)) -> *mut native::rd_kafka_AclBinding_t {
    let (kind, name, pattern) = match resource {
        Resource::Topic(name) => (Kind::RD_KAFKA_RESOURCE_TOPIC, name, Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL),
        Resource::Group(name) => (Kind::RD_KAFKA_RESOURCE_GROUP, name, Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL),
        Resource::TransactionalIds(name) => (Kind::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID, name, Pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED),
    };
    let operation = match operation {
        Operation::Read => Native::RD_KAFKA_ACL_OPERATION_READ,
        Operation::Write => Native::RD_KAFKA_ACL_OPERATION_WRITE,
        Operation::Delete => Native::RD_KAFKA_ACL_OPERATION_DELETE,
        Operation::Describe => Native::RD_KAFKA_ACL_OPERATION_DESCRIBE,
        Operation::DescribeConfigs => Native::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
    };
    let permission = match allowed {
        true => Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
        false => Permission::RD_KAFKA_ACL_PERMISSION_TYPE_DENY,
    };
    let text = |text: &str| CString::new(text).expect("no zero in a name");
    let (name, user) = (text(name), text(&format!("User:{user}")));
    // SAFETY: the texts live until the call is over; the client copies them.
    let made = unsafe {
        native::rd_kafka_AclBinding_new(kind, name.as_ptr(), pattern, user.as_ptr(), c"*".as_ptr(), operation, permission, null_mut(), 0)
    };
    assert!(!made.is_null(), "{resource:?} is no resource");
    made
}
