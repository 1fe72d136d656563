use super::*;
use proptest::prelude::*;

const NAMESPACES: &str = "xmlns=\"http://www.w3.org/ns/ttml\" xmlns:tts=\"http://www.w3.org/ns/ttml#styling\" \
    xmlns:ttp=\"http://www.w3.org/ns/ttml#parameter\" xmlns:smpte=\"http://www.smpte-ra.org/schemas/2052-1/2010/smpte-tt\"";

fn file(root: &str, head: &str, body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tt {NAMESPACES} {root}>\n<head>{head}</head>\n<body>{body}</body></tt>\n"
    )
}

/// Times, settings and text of each cue.
fn cues(file: &str) -> Vec<(u64, u64, String, String)> {
    let found = read(file, None).unwrap_or_else(|error| panic!("{error}: {file}")).cues;
    found.into_iter().map(|cue| (cue.start_ms, cue.end_ms, cue.settings, cue.text)).collect()
}

fn texts(body: &str) -> Vec<String> {
    cues(&file("", "", body)).into_iter().map(|cue| cue.3).collect()
}

fn text(paragraph: &str) -> String {
    texts(&format!("<div><p begin=\"1s\" end=\"2s\">{paragraph}</p></div>")).concat()
}

#[test]
fn times_count_from_what_an_element_is_in_and_end_with_it() {
    let times =
        |body: &str| -> Vec<_> { cues(&file("", "", body)).into_iter().map(|cue| (cue.0, cue.1)).collect() };
    for (body, expected) in [
        ("<div><p begin=\"1s\" end=\"2s\">a</p></div>", vec![(1_000, 2_000)]),
        ("<div><p begin=\"1s\" dur=\"2s\">a</p></div>", vec![(1_000, 3_000)]),
        ("<div><p begin=\"1s\" dur=\"5s\" end=\"3s\">a</p></div>", vec![(1_000, 3_000)]),
        ("<div begin=\"10s\"><p begin=\"1s\" end=\"2s\">a</p></div>", vec![(11_000, 12_000)]),
        ("<div begin=\"10s\" end=\"11.5s\"><p begin=\"1s\" end=\"2s\">a</p></div>", vec![(11_000, 11_500)]),
        ("<div end=\"4s\"><p>a</p></div>", vec![(0, 4_000)]),
        ("<div end=\"4s\"><p begin=\"4s\">a</p><p begin=\"5s\" end=\"6s\">b</p></div>", vec![]),
        ("<div><p begin=\"2s\" end=\"2s\">a</p></div>", vec![]),
        (
            "<div timeContainer=\"seq\" begin=\"1s\"><p dur=\"1s\">a</p><p begin=\"1s\" dur=\"1s\">b</p></div>",
            vec![(1_000, 2_000), (3_000, 4_000)],
        ),
        (
            "<div><div begin=\"1s\"><div begin=\"1s\"><p dur=\"500ms\">a</p></div></div></div>",
            vec![(2_000, 2_500)],
        ),
    ] {
        assert_eq!(times(body), expected, "{body}");
    }
}

#[test]
fn parts_with_times_of_their_own_come_and_go() {
    let body = "<div><p begin=\"10s\" end=\"14s\">One<span begin=\"1s\" end=\"3s\"> two<span begin=\"1s\"> three</span></span>\
        </p></div>";
    let found: Vec<_> = cues(&file("", "", body)).into_iter().map(|cue| (cue.0, cue.1, cue.3)).collect();
    let expected = [
        (10_000, 11_000, "One"),
        (11_000, 12_000, "One two"),
        (12_000, 13_000, "One two three"),
        (13_000, 14_000, "One"),
    ];
    assert_eq!(found, expected.map(|(start, end, text)| (start, end, text.to_owned())));
    let unseen = "<div><p begin=\"0s\" end=\"2s\">One<span begin=\"1s\"> </span></p></div>";
    assert_eq!(cues(&file("", "", unseen)).len(), 1, "where nothing changes, no cue begins");
}

#[test]
fn space_is_one_space_unless_it_is_to_be_kept() {
    for (ttml, vtt) in [
        ("  One \n  <span> two</span>\t three ", "One two three"),
        ("One<br/>two <br/> three", "One\ntwo\nthree"),
        ("<br/>One<br/><br/>two<br/>", "One\ntwo"),
        ("<span xml:space=\"preserve\">One  two\nthree</span>", "One  two\nthree"),
        ("One\u{a0}\u{a0}two", "One\u{a0}\u{a0}two"),
        ("<![CDATA[a < b]]> &amp; &lt;c&gt; &#x41;&#66;", "a &lt; b &amp; &lt;c&gt; AB"),
        ("a<metadata>no <p>text</p></metadata><set/>b", "ab"),
        ("a<!-- no text -->b", "ab"),
    ] {
        assert_eq!(text(ttml), vtt, "{ttml}");
    }
}

#[test]
fn styles_are_said_named_and_inherited() {
    let head = "<styling>\
        <style xml:id=\"i\" tts:fontStyle=\"italic\"/><style xml:id=\"bi\" style=\"i b\"/>\
        <style xml:id=\"b\" tts:fontWeight=\"bold\"/><style xml:id=\"loop\" style=\"loop i loop\" tts:textDecoration=\"underline\"/>\
        <style xml:id=\"no\" tts:fontStyle=\"normal\"/></styling>\
        <layout><region xml:id=\"r\" style=\"b\"/><region xml:id=\"n\"><style tts:textDecoration=\"underline\"/></region>\
        <region xml:id=\"gone\" tts:display=\"none\"/></layout>";
    for (paragraph, vtt) in [
        ("<p D tts:fontStyle=\"italic\">a<span tts:fontStyle=\"normal\">b</span>c</p>", "<i>a</i>b<i>c</i>"),
        ("<p D style=\"bi\">a<span style=\"no\">b</span></p>", "<i><b>a</b></i><b>b</b>"),
        ("<p D style=\"i no\">a</p>", "a"),
        ("<p D style=\"no\" tts:fontStyle=\"oblique\">a</p>", "<i>a</i>"),
        ("<p D style=\"loop\">a</p>", "<i><u>a</u></i>"),
        ("<p D style=\"nobody\">a</p>", "a"),
        ("<p D region=\"r\">a<span tts:fontWeight=\"normal\">b</span></p>", "<b>a</b>b"),
        ("<p D region=\"n\">a</p>", "<u>a</u>"),
        (
            "<p D tts:textDecoration=\"underline\">a<span tts:textDecoration=\"noUnderline\">b</span></p>",
            "<u>a</u>b",
        ),
        ("<p D>a<span tts:visibility=\"hidden\">b</span><span tts:display=\"none\">c</span></p>", "a"),
        ("<p D tts:display=\"none\">a<span tts:display=\"auto\">b</span></p>", ""),
        ("<p D region=\"gone\">a</p>", ""),
    ] {
        let body = format!("<div>{}</div>", paragraph.replace(" D", " begin=\"1s\" end=\"2s\""));
        let found = cues(&file("", head, &body));
        assert_eq!(found.into_iter().map(|cue| cue.3).collect::<String>(), vtt, "{paragraph}");
    }
}

#[test]
fn a_region_at_the_top_stays_at_the_top() {
    for (region, top) in [
        ("tts:origin=\"10% 5%\" tts:extent=\"80% 20%\"", true),
        ("tts:origin=\"10% 10%\" tts:extent=\"80% 80%\" tts:displayAlign=\"before\"", true),
        ("tts:origin=\"10% 10%\" tts:extent=\"80% 80%\" tts:displayAlign=\"after\"", false),
        ("tts:origin=\"0% 0%\" tts:extent=\"100% 20%\" tts:displayAlign=\"after\"", true),
        ("tts:origin=\"10% 80%\" tts:extent=\"80% 20%\"", false),
        ("tts:origin=\"0% 0%\" tts:extent=\"100% 100%\" tts:displayAlign=\"center\"", false),
        ("tts:displayAlign=\"before\"", true),
        ("tts:displayAlign=\"after\"", false),
        ("tts:extent=\"80% 20%\"", false),
        ("", false),
        ("tts:origin=\"0c 12c\"", false),
        ("tts:origin=\"0c 2c\"", true),
        ("tts:origin=\"0px 72px\"", true),
        ("tts:origin=\"0px 600px\"", false),
        ("style=\"up\"", true),
        ("tts:origin=\"auto\"", false),
    ] {
        let head = format!(
            "<styling><style xml:id=\"up\" tts:displayAlign=\"before\"/></styling><layout><region xml:id=\"r\" {region}/></layout>"
        );
        for paragraph in [
            "<p region=\"r\" begin=\"1s\" end=\"2s\">a</p>",
            "<p begin=\"1s\" end=\"2s\"> <span region=\"r\">a</span></p>",
        ] {
            let found = cues(&file("tts:extent=\"1280px 720px\"", &head, &format!("<div>{paragraph}</div>")));
            assert_eq!(found[0].2, if top { "line:0" } else { "" }, "{region} {paragraph}");
        }
    }
}

#[test]
fn documents_of_earlier_drafts_and_with_prefixes_are_the_same() {
    let draft = "<tt xmlns=\"http://www.w3.org/2006/10/ttaf1\" xml:lang=\"en\"><body><div><p begin=\"1s\" end=\"2s\">a</p></div></body></tt>";
    let prefixed = "<!DOCTYPE tt:tt><tt:tt xmlns:tt=\"http://www.w3.org/ns/ttml\"><tt:body xml:lang=\"en\"><tt:div><tt:p begin=\"1s\" \
        end=\"2s\">a</tt:p></tt:div></tt:body></tt:tt>";
    assert_eq!(read(draft, None), read(prefixed, None));
    assert_eq!(read(draft, None).unwrap().language, "en");
}

#[test]
fn a_sample_shows_what_falls_into_it_up_to_its_end() {
    let body = "<div><p begin=\"1s\" end=\"3s\">a</p><p begin=\"3s\">b</p><p begin=\"5s\" end=\"6s\">c</p><p>d</p></div>";
    let found = document(file("", "", body).as_bytes(), 2_000..4_000).unwrap().cues;
    let found: Vec<_> = found.iter().map(|cue| (cue.start_ms, cue.end_ms, cue.text.as_str())).collect();
    assert_eq!(found, [(2_000, 3_000, "a"), (3_000, 4_000, "b"), (2_000, 4_000, "d")]);
}

#[test]
fn entities_are_never_expanded() {
    let laughs = "<!DOCTYPE tt [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]>\n<tt><body><div><p end=\"1s\">&b;</p></div></body></tt>";
    let error = read(laughs, None).unwrap_err().to_string();
    assert_eq!(error, "line 1: the DOCTYPE declares entities, which are not expanded; remove it");
    let error =
        read("<tt><body><div>\n<p end=\"1s\">&copy;</p></div></body></tt>", None).unwrap_err().to_string();
    assert!(error.starts_with("line 2: \"&copy;\" is unknown, and entities are not expanded"), "{error}");
}

#[test]
fn pictures_are_refused_with_their_line() {
    for div in ["<div smpte:backgroundImage=\"#a\" begin=\"1s\" end=\"2s\">", "<div><image src=\"a.png\"/>"] {
        let error = read(&file("", "", &format!("\n{div}</div>")), None).unwrap_err();
        assert_eq!(error, CaptionsError::Pictures { line: 5 });
        assert!(error.to_string().contains("this is a picture instead of text"));
    }
}

#[test]
fn a_wrong_file_is_refused_with_its_line() {
    for (body, error) in [
        ("<div><p begin=\"5\" end=\"6s\">a</p></div>", "line 4: \"5\" is not a time; write, for example"),
        (
            "<div><p begin=\"2s\" end=\"1s\">a</p></div>",
            "line 4: ends at 00:00:01.000 and begins at 00:00:02.000",
        ),
        ("<div>\n<p begin=\"1s\">a</p></div>", "line 5: a text has no end; add end or dur"),
        ("<div><p></div>", "line 4: invalid XML: ill-formed document: expected `</p>`"),
        ("<div>\n<p begin=\"1s\" end=\"2s\">a & b</p></div>", "line 5: invalid XML"),
    ] {
        let found = read(&file("", "", body), None).unwrap_err().to_string();
        assert!(found.starts_with(error), "{found}");
    }
    for (file, error) in [
        ("<svg/>", "line 1: \"svg\" is not the root of TTML, which is <tt>"),
        ("<?xml version=\"1.0\"?>\n", "line 2: this XML has no <tt>"),
        ("<tt/><tt/>", "line 1: a second element follows the root"),
        ("<tt><body>", "line 1: the file ends within"),
        ("<tt timeBase=\"clock\"/>", "line 1: timeBase=\"clock\" is the time of day"),
        ("<tt frameRate=\"x\"/>", "line 1: frameRate=\"x\" is not a valid rate"),
    ] {
        let found = read(file, None).unwrap_err().to_string();
        assert!(found.starts_with(error), "{found}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let deep = format!("<tt><body>{}", "<div>".repeat(MAX_DEPTH));
    let attributes: String = (0..=MAX_ATTRIBUTES).map(|n| format!(" a{n}=\"\"")).collect();
    let styles: String = (0..=MAX_STYLES).map(|n| format!("<style xml:id=\"s{n}\"/>")).collect();
    let spans: String = (0..=MAX_MOMENTS).map(|n| format!("<span begin=\"{n}ms\">a</span>")).collect();
    let words = "a ".repeat(100_000);
    let parts: String = (0..MAX_MOMENTS - 2).map(|n| format!("<span begin=\"{n}ms\"> </span>")).collect();
    for (file, error) in [
        (deep, "elements are nested more than 64 deep"),
        (format!("<tt{attributes}/>"), "an element has more than 128 attributes"),
        (
            file("", &format!("<styling>{styles}</styling>"), ""),
            "there are more than 4096 styles and regions",
        ),
        (file("", "", &format!("<div><p end=\"9s\">{spans}</p></div>")), "more than 256 times"),
        (file("", "", &format!("<div><p end=\"9s\">{words}</p></div>")), "the text has 199999 bytes"),
        (
            file("", "", &format!("<div><p end=\"9s\">{}</p></div>", "<br/>".repeat(MAX_PARTS + 1))),
            "a paragraph has more than 10000 parts",
        ),
        (
            file(
                "",
                "",
                &format!(
                    "<div><p end=\"9s\" xml:space=\"preserve\">{}{parts}</p></div>",
                    " ".repeat(200_000)
                ),
            ),
            "its parts come and go too often",
        ),
    ] {
        let found = read(&file, None).unwrap_err().to_string();
        assert!(found.contains(error), "{found}");
    }
}

proptest! {
    #[test]
    fn documents_with_anything_in_them_are_read_or_refused(
        parts in prop::collection::vec(prop::sample::select(vec![
            "<p begin=\"1s\" end=\"2s\">", "<p begin=\"00:00:01:10\" dur=\"3t\" region=\"r\">", "<p>", "</p>", "<div>", "</div>", "<span>",
            "<span style=\"s\" begin=\"500ms\">", "</span>", "<br/>", "a", " ", "\n", "&lt;", "&#10;", "&x;", "<", "]]>", "<![CDATA[ ",
            "xml:space=\"preserve\"", "<!--", "-->", "<div end=\"4s\" timeContainer=\"seq\">", "é",
        ]), 0..30),
        whole in any::<bool>(),
    ) {
        let head = "<styling><style xml:id=\"s\" tts:fontStyle=\"italic\"/></styling><layout><region xml:id=\"r\" \
            tts:displayAlign=\"before\"/></layout>";
        let body = if whole { format!("<div>{}</div>", parts.concat()) } else { parts.concat() };
        crate::fuzz::document(file("", head, &body).as_bytes());
        crate::fuzz::file(file("", head, &body).as_bytes());
    }
}
