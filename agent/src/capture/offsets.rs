//! Which fields of kernel structures the kernel side loads, and where the running kernel has them.
use super::btf::Btf;
use wirespan_abi::offset;

/// Structure and field of each element of the table that [`offset`] indexes.
pub const FIELDS: [(usize, &str, &str); offset::COUNT] = [
    (offset::STATE, "sock", "__sk_common.skc_state"),
    (offset::OWNED, "sock", "sk_lock.owned"),
    (offset::ERROR, "sock", "sk_err"),
    (offset::COOKIE, "sock", "__sk_common.skc_cookie"),
    (offset::RCV_NXT, "tcp_sock", "rcv_nxt"),
    (offset::COPIED_SEQ, "tcp_sock", "copied_seq"),
    (offset::SRTT_US, "tcp_sock", "srtt_us"),
    (offset::TOTAL_RETRANS, "tcp_sock", "total_retrans"),
    (offset::DATA_SEGS_IN, "tcp_sock", "data_segs_in"),
    (offset::BYTES_SENT, "tcp_sock", "bytes_sent"),
    (offset::PID, "task_struct", "pid"),
    (offset::TGID, "task_struct", "tgid"),
    (offset::SIGNAL, "task_struct", "signal"),
    (offset::LIVE, "signal_struct", "live"),
    (offset::COMM, "task_struct", "comm"),
    (offset::FAMILY, "sock", "__sk_common.skc_family"),
    (offset::LOCAL_PORT, "sock", "__sk_common.skc_num"),
    (offset::REMOTE_PORT, "sock", "__sk_common.skc_dport"),
    (offset::LOCAL_V4, "sock", "__sk_common.skc_rcv_saddr"),
    (offset::REMOTE_V4, "sock", "__sk_common.skc_daddr"),
    (offset::LOCAL_V6, "sock", "__sk_common.skc_v6_rcv_saddr"),
    (offset::REMOTE_V6, "sock", "__sk_common.skc_v6_daddr"),
    (offset::WRITE_SEQ, "tcp_sock", "write_seq"),
    (offset::THREAD_POINTER, "task_struct", "thread.fsbase"),
    (offset::STACK, "task_struct", "stack"),
];

/// Fields that a kernel without IPv6 does not have, nor does it have a socket that they would be asked for.
const ABSENT: [usize; 2] = [offset::LOCAL_V6, offset::REMOTE_V6];

/// The table for the kernel that `btf` describes, or the field that it does not have.
pub fn resolve(btf: &Btf<'_>) -> Result<[u32; offset::COUNT], (&'static str, &'static str)> {
    let mut table = [0; offset::COUNT];
    for (index, structure, field) in FIELDS {
        let slot = table.get_mut(index).ok_or((structure, field))?;
        *slot = btf.offset(structure, field).or(ABSENT.contains(&index).then_some(0)).ok_or((structure, field))?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_of_the_table_is_filled_once() {
        assert_eq!(FIELDS.map(|(index, _, _)| index), std::array::from_fn(|index| index));
    }
}
