//! Tests of the filter with frames as a broker sends them, cut anywhere, and with content that must
//! not reach lapin.

use lapin::protocol::basic::parse_properties;
use proptest::prelude::*;

use super::*;

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 0, 7], &length[..], payload, &[END]].concat()
}

fn header_of(properties: &[u8]) -> Vec<u8> {
    frame(HEADER, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4][..], properties].concat())
}

fn deliver(exchange: &[u8], key: &[u8]) -> Vec<u8> {
    let short = |text: &[u8]| [&[u8::try_from(text.len()).unwrap()], text].concat();
    frame(METHOD, &[&[0, 60, 0, 60][..], &short(b"tag"), &[0; 9], &short(exchange), &short(key)].concat())
}

fn headers(table: &[u8]) -> Vec<u8> {
    [&[0x20, 0][..], &u32::try_from(table.len()).unwrap().to_be_bytes(), table].concat()
}

fn nested(kind: u8, levels: usize) -> Vec<u8> {
    let mut inner = Vec::new();
    for _ in 0..levels {
        let name: &[u8] = if kind == b'F' { b"\x01a" } else { b"" };
        let length = u32::try_from(inner.len()).unwrap().to_be_bytes();
        inner = [name, &[kind], &length, &inner].concat();
    }
    if kind == b'F' { inner } else { [&b"\x01a"[..], &inner].concat() }
}

fn filtered(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FrameFilter::default().feed(bytes, &mut out);
    out
}

#[test]
fn valid_frames_pass_unchanged_wherever_the_stream_is_cut() {
    let table = headers(b"\x07x-deathA\x00\x00\x00\x0dF\x00\x00\x00\x08\x01qS\x00\x00\x00\x01q");
    let stream = [
        deliver(b"nid.replies", b"reply.birth"),
        header_of(&table),
        frame(BODY, b"body\xff"),
        frame(HEARTBEAT, b""),
        frame(METHOD, &[0, 10, 0, 10, 9, 9, 9]),
        header_of(&[0x80, 0, 1, b'j']),
    ]
    .concat();
    assert_eq!(filtered(&stream), stream);
    for at in 0..stream.len() {
        let (mut filter, mut out) = (FrameFilter::default(), Vec::new());
        filter.feed(&stream[..at], &mut out);
        filter.feed(&stream[at..], &mut out);
        assert_eq!(out, stream, "cut at {at}");
    }
    let (mut filter, mut out) = (FrameFilter::default(), Vec::new());
    stream.iter().for_each(|byte| filter.feed(&[*byte], &mut out));
    assert_eq!(out, stream);
}

#[test]
fn properties_that_lapin_cannot_read_are_left_out_and_the_message_is_kept() {
    let none = header_of(&[0, 0]);
    let rest = frame(BODY, b"body");
    for odd in [
        headers(&nested(b'F', 1_000)),
        headers(&nested(b'A', 20_000)),
        headers(b"\x01\xffV"),
        headers(b"\x01aZ"),
        headers(b"\x09aV"),
        vec![0x80, 0, 2, 0xff, 0xfe],
        vec![0x80, 0, 9, b'x'],
        vec![0, 1],
        vec![0, 0, 0],
    ] {
        assert_eq!(
            filtered(&[header_of(&odd), rest.clone()].concat()),
            [none.clone(), rest.clone()].concat()
        );
    }
    let deep = header_of(&headers(&nested(b'F', DEEPEST - 1)));
    assert_eq!(filtered(&deep), deep);
}

#[test]
fn a_routing_key_that_is_not_utf8_becomes_a_text_of_the_same_length() {
    assert_eq!(filtered(&deliver(b"e\xff", b"reply.\xc3\xa9\xff")), deliver(b"e?", b"reply.???"));
    assert_eq!(filtered(&deliver("é".as_bytes(), b"k")), deliver("é".as_bytes(), b"k"));
    let get_ok = |key: &[u8]| {
        frame(METHOD, &[&[0, 60, 0, 71, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1][..], key, &[0; 4]].concat())
    };
    assert_eq!(filtered(&get_ok(b"\xff")), get_ok(b"?"));
    // Incomplete frames pass, because lapin itself refuses them.
    for short in [frame(METHOD, &[0, 60, 0, 60, 200]), frame(HEADER, &[0, 60, 0])] {
        assert_eq!(filtered(&short), short);
    }
}

#[test]
fn bytes_that_are_not_a_frame_pass_unchanged() {
    for other in [&b"AMQP\x00\x00\x09\x01"[..], b"HTTP/1.1 400 Bad Request\r\n", b"\x09\x00"] {
        assert_eq!(filtered(other), other);
    }
}

proptest! {
    #[test]
    fn lapin_can_parse_all_properties_that_pass(
        flags in any::<u16>(), bytes in proptest::collection::vec(prop_oneof![0_u8..4, any::<u8>(), Just(b'F'), Just(b'S')], 0..80),
    ) {
        let properties = [&flags.to_be_bytes()[..], &bytes].concat();
        let whole = filtered(&header_of(&properties));
        let passed = &whole[OPENING + PREFIX..whole.len() - 1];
        let (rest, _) = parse_properties(passed).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert!(passed == properties || passed == [0, 0]);
    }

    #[test]
    fn the_output_does_not_depend_on_the_cut_and_is_never_longer(stream in proptest::collection::vec(any::<u8>(), 0..400), at in any::<prop::sample::Index>()) {
        let at = at.index(stream.len() + 1);
        let (mut filter, mut out) = (FrameFilter::default(), Vec::new());
        filter.feed(&stream[..at], &mut out);
        filter.feed(&stream[at..], &mut out);
        prop_assert_eq!(&out, &filtered(&stream));
        prop_assert!(out.len() <= stream.len());
    }
}
