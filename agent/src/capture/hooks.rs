//! What the agent attaches in the kernel, as data, and the decision what of it to attach on this kernel.

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Packets that arrive at the sockets of a cgroup.
    Ingress,
    /// Packets that leave the sockets of a cgroup.
    Egress,
    /// The typed tracepoint of the same name as the program.
    Tracepoint,
}

/// One program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Name of the program in the object, and of the tracepoint.
    pub program: &'static str,
    /// Where it is attached.
    pub point: Point,
    /// Without it the agent does not start.
    pub required: bool,
    /// It is attached only while some process needs it.
    pub on_demand: bool,
    /// What is lost without it.
    pub lost: &'static str,
}

/// The program that tells writes for the walks of processes.
pub const WRITES: &str = "sock_send_length";

/// Every hook, in the order in which they are attached: the packets last, so that no socket is reported whose reads and end are missed.
pub const HOOKS: &[Hook] = &[
    tracepoint("inet_sock_set_state", true, "the end of connections, and connects that fail"),
    tracepoint("tcp_rcv_space_adjust", false, "who read a request and when: links inside a process, queue and application time"),
    tracepoint("tcp_receive_reset", false, "which side reset a connection, where the socket's error does not tell"),
    tracepoint("tcp_send_reset", false, "which side reset a connection, where the socket's error does not tell"),
    tracepoint("sched_process_fork", false, "names of processes that live shorter than the scan of /proc takes"),
    tracepoint("sched_process_exec", false, "the new name of a process that starts another program"),
    tracepoint("sched_process_exit", false, "the end of processes: their entries are kept until they are the oldest"),
    Hook {
        on_demand: true,
        ..tracepoint(WRITES, false, "what the memory of programs says: links inside event loops, tasks, goroutines and pools")
    },
    Hook { program: "egress", point: Point::Egress, required: true, on_demand: false, lost: "everything: the bytes that are sent" },
    Hook { program: "ingress", point: Point::Ingress, required: true, on_demand: false, lost: "everything: the bytes that arrive" },
];

const fn tracepoint(program: &'static str, required: bool, lost: &'static str) -> Hook {
    Hook { program, point: Point::Tracepoint, required, on_demand: false, lost }
}

/// A hook that is not attached, though the agent runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// Which.
    pub hook: Hook,
    /// Why not.
    pub reason: String,
}

/// What to attach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// These, in this order.
    pub attach: Vec<Hook>,
    /// Not these.
    pub missing: Vec<Degraded>,
}

/// Decides what to attach on a kernel that has the tracepoints for which `has` is true. `Err` is the first required hook it lacks.
pub fn plan(has: impl Fn(&str) -> bool) -> Result<Plan, Hook> {
    let mut plan = Plan::default();
    for hook in HOOKS {
        if hook.point != Point::Tracepoint || has(hook.program) {
            plan.attach.push(*hook);
        } else if hook.required {
            return Err(*hook);
        } else {
            plan.missing.push(Degraded { hook: *hook, reason: "this kernel has no such tracepoint".to_owned() });
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_has_everything_gets_everything_in_order() {
        assert_eq!(plan(|_| true), Ok(Plan { attach: HOOKS.to_vec(), missing: Vec::new() }));
    }

    #[test]
    fn a_missing_optional_hook_is_named_and_the_rest_is_attached() {
        let plan = plan(|name| name != "tcp_send_reset").unwrap();
        let missing: Vec<_> = plan.missing.iter().map(|degraded| degraded.hook.program).collect();
        assert_eq!((plan.attach.len(), missing), (HOOKS.len() - 1, vec!["tcp_send_reset"]));
    }

    #[test]
    fn a_missing_required_hook_ends_the_start() {
        assert_eq!(plan(|name| name != "inet_sock_set_state").map_err(|hook| hook.program), Err("inet_sock_set_state"));
    }
}
