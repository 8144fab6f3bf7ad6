//! `wirespan doctor`: what this kernel gives, what is lost, and how to mend it.
use crate::capture::doctor::checks;
use crate::cli::Doctor;
use serde_json::json;

/// Prints every check, for a person or as JSON.
pub(super) fn doctor(options: Doctor) {
    let checks = checks(Some(super::live::OBJECT));
    if options.json {
        let list: Vec<_> = checks
            .iter()
            .map(|check| json!({"name": check.name, "status": check.status.as_str(), "lost": check.lost, "fix": check.fix}))
            .collect();
        println!("{}", json!({ "checks": list }));
        return;
    }
    for check in &checks {
        println!("{:9} {}", check.status.as_str(), check.name);
        if !check.lost.is_empty() {
            println!("          lost: {}", check.lost);
        }
        if !check.fix.is_empty() {
            println!("          fix:  {}", check.fix);
        }
    }
}
