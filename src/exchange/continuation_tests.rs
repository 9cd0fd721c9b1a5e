use super::*;
use http::uri::PathAndQuery;

const TAG: (&str, &str) = ("etag", "\"a\"");

fn fields(these: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in these {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, value.parse().unwrap());
    }
    map
}

fn asked(these: &[(&str, &str)]) -> OriginHead {
    OriginHead {
        method: Method::GET,
        target: PathAndQuery::from_static("/a?b"),
        headers: fields(these),
        trail: Default::default(),
    }
}

fn answer(status: u16, length: Option<u64>, these: &[(&str, &str)]) -> AnswerHead {
    AnswerHead {
        status: StatusCode::from_u16(status).unwrap(),
        headers: fields(these),
        length,
        has_body: true,
    }
}

fn marked(length: Option<u64>, these: &[(&str, &str)]) -> Option<Mark> {
    Mark::of(&asked(&[]), &answer(200, length, these))
}

/// Of a whole of 1000 bytes.
fn usual() -> Mark {
    marked(Some(1000), &[TAG, ("content-type", "text/plain")]).unwrap()
}

fn value(head: &OriginHead, name: &str) -> Option<String> {
    let value = head.headers.get(name)?;
    Some(value.to_str().unwrap().to_owned())
}

#[test]
fn what_has_a_strong_tag_is_asked_for_on_the_condition_that_it_is_the_same() {
    let conditions = [
        ("if-none-match", "\"z\""),
        ("if-match", "*"),
        ("if-modified-since", "x"),
        ("if-unmodified-since", "x"),
        ("range", "bytes=5-6,8-9"),
        ("if-range", "\"z\""),
        ("accept-encoding", "br"),
        ("cookie", "a=1"),
    ];
    let head = usual().ask(&asked(&conditions), 600).unwrap();
    assert_eq!(value(&head, "range").unwrap(), "bytes=600-");
    assert_eq!(value(&head, "if-range").unwrap(), "\"a\"");
    for kept in ["accept-encoding", "cookie"] {
        assert!(head.headers.contains_key(kept));
    }
    assert_eq!(head.headers.len(), 4);
    assert_eq!(head.target, "/a?b");
    assert_eq!(usual().ask(&asked(&[]), 1000).map(|_| ()), None);
    assert!(marked(None, &[TAG]).unwrap().ask(&asked(&[]), 7).is_some());
}

#[test]
fn without_a_strong_validator_there_is_no_continuing() {
    let (made, modified) = ("date", "last-modified");
    let noon = "Sat, 01 Aug 2026 12:00:00 GMT";
    let later = "Sat, 01 Aug 2026 12:00:01 GMT";
    let is_marked = |these: &[_]| marked(Some(9), these).is_some();
    assert!(is_marked(&[("etag", "\"\"")]));
    assert!(is_marked(&[(modified, noon), (made, later)]));
    for weak in [
        &[][..],
        &[("etag", "W/\"a\"")],
        &[("etag", "a")],
        &[("etag", "\"a\"b\"")],
        &[TAG, TAG],
        &[(modified, noon)],
        &[(modified, noon), (made, noon)],
        &[(modified, later), (made, noon)],
        &[(modified, "yesterday"), (made, later)],
        // Where there is a tag, a date promises nothing that the tag does not.
        &[("etag", "W/\"a\""), (modified, noon), (made, later)],
    ] {
        assert!(!is_marked(weak), "{weak:?}");
    }
    let by_date = marked(Some(9), &[(modified, noon), (made, later)]).unwrap();
    let head = by_date.ask(&asked(&[]), 4).unwrap();
    assert_eq!(value(&head, "if-range").unwrap(), noon);
    let part = ("content-range", "bytes 4-8/9");
    let rest = |date| by_date.rest(&answer(206, Some(5), &[part, (modified, date)]), 4);
    assert!(rest(noon).is_ok() && rest(later).is_err());
}

#[test]
fn some_answers_are_never_continued() {
    let mut post = asked(&[]);
    post.method = Method::POST;
    let whole = answer(200, Some(9), &[TAG]);
    assert!(Mark::of(&post, &whole).is_none());
    assert!(Mark::of(&asked(&[]), &answer(404, Some(9), &[TAG])).is_none());
    assert!(marked(Some(9), &[TAG, ("accept-ranges", "None")]).is_none());
    assert!(marked(Some(9), &[TAG, ("accept-ranges", "bytes")]).is_some());
    // Coded as it is sent, it may come out otherwise the next time.
    let coded = ("content-encoding", "gzip");
    assert!(marked(None, &[TAG, coded]).is_none());
    assert!(marked(Some(9), &[TAG, coded]).is_some());
    let parts = ("content-type", "Multipart/ByteRanges; boundary=x");
    let range = ("content-range", "bytes 0-3/9");
    assert!(Mark::of(&asked(&[]), &answer(206, Some(4), &[TAG, range, parts])).is_none());
    assert!(Mark::of(&asked(&[]), &answer(206, Some(4), &[TAG, parts])).is_none());
    assert!(Mark::of(&asked(&[]), &answer(206, Some(5), &[TAG, range])).is_none());
}

#[test]
fn a_part_that_the_client_asked_for_is_continued_within_it() {
    let fields = [TAG, ("content-range", "bytes 100-299/1000")];
    let mark = Mark::of(&asked(&[]), &answer(206, Some(200), &fields)).unwrap();
    let head = mark.ask(&asked(&[("range", "bytes=100-299")]), 50).unwrap();
    assert_eq!(value(&head, "range").unwrap(), "bytes=150-299");
    let rest = |range: &str| mark.rest(&answer(206, None, &[TAG, ("content-range", range)]), 50);
    let lacks = Some(150);
    assert_eq!(rest("bytes 150-299/1000"), Ok(Rest { skip: 0, lacks }));
    assert!(rest("bytes 150-999/1000").is_err());
    // The whole holds it, too.
    let whole = mark.rest(&answer(200, Some(1000), &[TAG]), 50);
    assert_eq!(whole, Ok(Rest { skip: 150, lacks }));
    let last = [TAG, ("content-range", "bytes 900-999/1000")];
    let last = Mark::of(&asked(&[]), &answer(206, Some(100), &last)).unwrap();
    let head = last.ask(&asked(&[]), 10).unwrap();
    assert_eq!(value(&head, "range").unwrap(), "bytes=910-");
}

#[test]
fn the_rest_begins_where_the_other_ended_and_is_of_the_same_whole() {
    let range = ("content-range", "bytes 600-999/1000");
    let lacks = Some(400);
    let fits = Ok(Rest { skip: 0, lacks });
    let rest = |status, length, these: &[_]| usual().rest(&answer(status, length, these), 600);
    assert_eq!(rest(206, Some(400), &[TAG, range]), fits);
    assert_eq!(rest(206, None, &[TAG, range]), fits);
    let kind = ("content-type", "text/plain");
    assert_eq!(rest(206, Some(400), &[TAG, range, kind]), fits);
    for (status, length, these) in [
        (206, Some(400), &[range][..]),
        (206, Some(400), &[("etag", "\"b\""), range]),
        (206, Some(400), &[("etag", "W/\"a\""), range]),
        (206, Some(400), &[TAG, TAG, range]),
        (206, Some(400), &[TAG]),
        (206, Some(400), &[TAG, range, range]),
        (206, Some(399), &[TAG, range]),
        (206, Some(400), &[TAG, range, ("content-type", "text/html")]),
        (206, Some(400), &[TAG, range, ("content-encoding", "gzip")]),
        (
            206,
            None,
            &[TAG, ("content-type", "multipart/byteranges; boundary=x")],
        ),
        (
            206,
            Some(400),
            &[TAG, ("content-range", "bytes 599-999/1000")],
        ),
        (
            206,
            Some(400),
            &[TAG, ("content-range", "bytes 601-999/1000")],
        ),
        (
            206,
            Some(400),
            &[TAG, ("content-range", "bytes 600-998/1000")],
        ),
        (
            206,
            Some(400),
            &[TAG, ("content-range", "bytes 600-999/1001")],
        ),
        (206, Some(400), &[TAG, ("content-range", "bytes 600-999/*")]),
        (
            206,
            Some(400),
            &[TAG, ("content-range", "bytes 600-999/999")],
        ),
        (
            206,
            Some(400),
            &[TAG, ("content-range", "bytes 999-600/1000")],
        ),
        (
            206,
            Some(400),
            &[TAG, ("content-range", "bytes +600-999/1000")],
        ),
        (
            206,
            Some(400),
            &[TAG, ("content-range", "lines 600-999/1000")],
        ),
        (416, None, &[TAG, ("content-range", "bytes */1000")]),
        (304, None, &[TAG]),
        (503, Some(9), &[TAG]),
    ] {
        assert!(rest(status, length, these).is_err(), "{status} {these:?}");
    }
}

#[test]
fn the_whole_once_more_is_skipped_up_to_a_bound() {
    let kind = ("content-type", "text/plain");
    let rest = |length, these: &[_]| usual().rest(&answer(200, length, these), 600);
    let lacks = Some(400);
    assert_eq!(
        rest(Some(1000), &[TAG, kind]),
        Ok(Rest { skip: 600, lacks })
    );
    assert_eq!(rest(None, &[TAG, kind]), Ok(Rest { skip: 600, lacks }));
    for (length, these) in [
        (Some(1001), &[TAG, kind][..]),
        (Some(1000), &[TAG]),
        (Some(1000), &[("etag", "\"b\""), kind]),
        (Some(1000), &[TAG, kind, ("content-encoding", "br")]),
    ] {
        assert!(rest(length, these).is_err(), "{length:?} {these:?}");
    }
    let large = marked(Some(1 << 40), &[TAG]).unwrap();
    let rest = |had| large.rest(&answer(200, Some(1 << 40), &[TAG]), had);
    assert!(rest(MOST_SKIPPED).is_ok() && rest(MOST_SKIPPED + 1).is_err());
}

#[test]
fn what_told_no_length_is_continued_to_the_end_of_the_whole() {
    let mark = marked(None, &[TAG]).unwrap();
    let range = ("content-range", "bytes 600-999/1000");
    let lacks = Some(400);
    let part = mark.rest(&answer(206, Some(400), &[TAG, range]), 600);
    assert_eq!(part, Ok(Rest { skip: 0, lacks }));
    let whole = |length| mark.rest(&answer(200, length, &[TAG]), 600);
    assert_eq!(whole(Some(1000)), Ok(Rest { skip: 600, lacks }));
    let lacks = None;
    assert_eq!(whole(None), Ok(Rest { skip: 600, lacks }));
    assert!(whole(Some(599)).is_err());
}

#[test]
fn only_what_the_origin_broke_is_continued_once_and_never_for_the_suspect() {
    use crate::exchange::replay::Delivery;
    use crate::ground::failure::Phase;
    let past = Past {
        delivery: Delivery::Answered,
        replays: 0,
        is_suspect: false,
        has_key: false,
    };
    let failed = |cause| Failure::origin(Phase::Answer, cause);
    let broken = Cause::Broken("reset".to_owned());
    for cause in [Cause::Died, Cause::Truncated, broken] {
        assert!(may_continue(past, &failed(cause)));
    }
    let again = Past { replays: 1, ..past };
    assert!(!may_continue(again, &failed(Cause::Died)));
    let suspect = Past {
        is_suspect: true,
        ..past
    };
    assert!(!may_continue(suspect, &failed(Cause::Died)));
    assert!(!may_continue(past, &failed(Cause::Suspect)));
    let limit = std::time::Duration::from_secs(1);
    let late = Cause::TimedOut { limit, key: "k" };
    assert!(!may_continue(past, &failed(late)));
    assert!(!may_continue(past, &failed(Cause::Malformed("x"))));
    let ours = Failure::edge(Phase::Answer, Cause::Truncated);
    assert!(!may_continue(past, &ours));
}
