//! A route has limits of its own, and nothing beside it is touched by them.

use crate::house::{DUE, behind};
use crate::support::h1;
use crate::support::response::pattern;

#[test]
fn a_route_has_limits_of_its_own() {
    let leeward = behind(
        &[],
        "[edge.limits]\nbody = \"1MiB\"\n\
         [[route]]\npath = \"/echo\"\nbody = \"4MiB\"\n\
         [[route]]\npath = \"/echo/small\"\nbody = \"10B\"\n\
         [[route]]\npath = \"/slow\"\nfirst_byte = \"300ms\"\n",
    );
    let body = pattern(2 << 20);
    let post = |path| h1::request(leeward.edge(), "POST", path, &[], &body, DUE);
    assert!(post("/echo").expect("an echo").body == body);
    let refused = post("/echo/small").expect("an answer");
    assert_eq!(refused.status, 413);
    assert!(refused.text().contains("route.body"), "{}", refused.text());
    let refused = post("/echoes").expect("an answer");
    assert_eq!(refused.status, 413);
    assert!(refused.text().contains("edge.limits.body"));
    let late = h1::get(leeward.edge(), "/slow/3000", DUE).expect("an answer");
    assert_eq!(late.status, 504);
    assert!(late.text().contains("route.first_byte"), "{}", late.text());
}
