//! The manifests for Kubernetes are what its own schemas allow, with no key that it does not know.

use std::path::Path;
use std::process::Command;

use crate::skip;

/// The oldest release that starts a native sidecar by default and is looked after still, and a current one.
const RELEASES: [&str; 2] = ["1.30", "1.37"];

#[test]
fn both_forms_of_a_pod_are_what_kubernetes_takes() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for release in RELEASES {
        let mut command = Command::new("kubernetes-validate");
        command.args(["--strict", "-k", release]);
        let judged = command
            .arg(config.join("kubernetes.yaml"))
            .arg(config.join("kubernetes-owner.yaml"))
            .output();
        let judged = match judged {
            Ok(judged) => judged,
            Err(error) => skip!(format!(
                "kubernetes-validate: {error} (pip install kubernetes-validate)"
            )),
        };
        let told = String::from_utf8_lossy(&judged.stdout).into_owned()
            + &String::from_utf8_lossy(&judged.stderr);
        assert!(judged.status.success(), "{release}: {told}");
        // Two of each: what it reads and what runs.
        assert_eq!(told.matches(" passed ").count(), 4, "{told}");
    }
}
