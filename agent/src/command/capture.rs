//! `wirespan pcap`: spans of capture files.
use super::Failure;
use super::session::Session;
use crate::accounting::Tally;
use crate::capture::pcap::{self, Skip, Vantage};
use crate::cli::{Pcap, Side, exit};
use crate::enrich::directory::Directory;
use crate::flow::DropCause;
use crate::selection::Selection;

/// Makes spans from capture files.
pub(super) fn pcap(options: &Pcap) -> Result<(), Failure> {
    let vantage = match options.vantage {
        Side::Client => Vantage::Client,
        Side::Server => Vantage::Server,
        Side::Both => Vantage::Both,
    };
    let selection = Selection { ports: options.port.iter().copied().collect(), processes: None };
    let mut session = Session::open(Directory::of_addresses(), selection, false, &options.headers, &options.output, true)?;
    let mut records = Tally::default();
    let read =
        session.events(|each| pcap::read_files(&options.files, vantage, &mut |event| records.count(each(&event).map_err(DropCause::name))));
    if let Ok(summary) = &read {
        for cause in Skip::ALL {
            let skipped = summary.skipped(cause);
            records.drop(cause.name(), skipped);
            records.taken += skipped;
        }
    }
    session.close(records, None);
    let summary = read.map_err(|error| Failure::new(exit::INPUT, error))?;
    if summary.cut_files + summary.broken_files > 0 {
        eprintln!(
            "wirespan: {} file(s) end in the middle of a packet, {} make no sense from a place on",
            summary.cut_files, summary.broken_files
        );
    }
    Ok(())
}
