//! Streams written by hand and with the writers of the crates that have the tables.

mod hostile;

use cea608_types::tables::{
    Channel as Line, Code, Control, ControlCode, Field as Parity, MidRow, PreambleAddressCode, PreambleType,
};
use cea608_types::{Cea608Writer, tables::Color};
use cea708_types::tables::{Anchor, Code as Dtv, DefineWindowArgs, SetPenAttributesArgs, WindowBits};
use cea708_types::tables::{EdgeType, FontStyle, PenSize, SetPenLocationArgs, TextOffset, TextTag};
use cea708_types::{CCDataWriter, DTVCCPacket, Framerate};
use streamgate_captions::Cue;

use super::{Channel, Closed};

/// A frame every 40 ms with one pair, as most senders do.
struct Sender {
    closed: Closed,
    now_ms: u64,
    field: u8,
    line: Line,
}

impl Sender {
    fn on(field: u8, line: Line) -> Self {
        Self { closed: Closed::new(), now_ms: 0, field, line }
    }

    fn at(&mut self, time_ms: u64) -> &mut Self {
        assert!(time_ms >= self.now_ms, "{time_ms} is over, it is {}", self.now_ms);
        self.now_ms = time_ms;
        self
    }

    fn pair(&mut self, [first, second]: [u8; 2]) -> &mut Self {
        self.closed.take(self.now_ms, &[0xfc | self.field, first, second]);
        self.now_ms += 40;
        self
    }

    /// Once.
    fn code(&mut self, control: Control) -> &mut Self {
        let field = if self.field == 0 { Parity::ONE } else { Parity::TWO };
        let mut pair = [0; 2];
        Code::Control(ControlCode::new(field, self.line, control)).write_into(&mut pair);
        self.pair(pair)
    }

    /// Twice in a row, as the standard requires.
    fn twice(&mut self, control: Control) -> &mut Self {
        self.code(control).code(control)
    }

    fn row(&mut self, row: u8, kind: PreambleType) -> &mut Self {
        self.twice(Control::PreambleAddress(PreambleAddressCode::new(row, false, kind)))
    }

    fn text(&mut self, text: &str) -> &mut Self {
        let mut writer = Cea608Writer::default();
        for letter in text.chars() {
            writer.push(Code::from_char(letter, self.line).expect("a letter of the tables"));
        }
        while writer.n_codes() > 0 {
            let pair = writer.pop();
            self.pair(pair);
        }
        self
    }

    fn finish(&mut self, end_ms: u64) -> Vec<Channel> {
        std::mem::replace(&mut self.closed, Closed::new()).finish(end_ms)
    }
}

fn first_line() -> Sender {
    Sender::on(0, Line::ONE)
}

fn cue(start_ms: u64, end_ms: u64, settings: &str, text: &str) -> Cue {
    Cue { start_ms, end_ms, settings: settings.to_owned(), text: text.to_owned() }
}

fn only(name: &str, cues: Vec<Cue>) -> Vec<Channel> {
    vec![Channel { name: name.to_owned(), cues }]
}

#[test]
fn a_pop_on_caption_of_two_rows_is_one_cue_from_its_end_to_the_erasing() {
    let mut sender = first_line();
    sender.twice(Control::ResumeCaptionLoading).twice(Control::EraseNonDisplayedMemory);
    sender.row(13, PreambleType::Indent8).text("Who <is> it &");
    sender.row(14, PreambleType::Indent8).twice(Control::TabOffset2);
    sender.twice(Control::MidRow(MidRow::new_italics(false))).text("really");
    sender.twice(Control::MidRow(MidRow::new_color(Color::White, false))).text("now?");
    sender.at(3_000).twice(Control::EndOfCaption);
    sender.at(5_000).twice(Control::EraseDisplayedMemory);
    let text = "Who &lt;is&gt; it &amp;\n<i>really</i> now?";
    assert_eq!(sender.finish(9_000), only("CC1", vec![cue(3_000, 5_000, "", text)]));
}

#[test]
fn a_caption_replaces_the_one_before_and_ends_with_the_file() {
    let mut sender = first_line();
    sender.twice(Control::ResumeCaptionLoading).row(14, PreambleType::Indent12).text("one");
    sender.at(1_000).twice(Control::EndOfCaption).twice(Control::EraseNonDisplayedMemory);
    sender.twice(Control::ResumeCaptionLoading).row(1, PreambleType::Indent12).text("another");
    sender.at(2_000).twice(Control::EndOfCaption);
    let cues = vec![cue(1_000, 2_000, "", "one"), cue(2_000, 4_000, "line:0", "another")];
    assert_eq!(sender.finish(4_000), only("CC1", cues));
}

#[test]
fn text_on_one_side_stays_there_and_text_that_is_never_erased_ends() {
    let mut sender = first_line();
    sender.twice(Control::ResumeCaptionLoading).row(14, PreambleType::Indent0).text("- Left.");
    sender.at(1_000).twice(Control::EndOfCaption).twice(Control::EraseNonDisplayedMemory);
    sender.row(0, PreambleType::Indent24).text("- Right.");
    sender.at(2_000).twice(Control::EndOfCaption);
    let cues = vec![
        cue(1_000, 2_000, "position:10% align:left", "- Left."),
        cue(2_000, 32_000, "line:0 position:90% align:right", "- Right."),
    ];
    assert_eq!(sender.finish(900_000), only("CC1", cues));
}

#[test]
fn each_row_that_rolls_up_begins_a_cue_with_the_rows_still_seen() {
    let mut sender = first_line();
    sender.twice(Control::RollUp2).twice(Control::CarriageReturn).row(14, PreambleType::Indent0);
    let begins = sender.now_ms;
    sender.text("first row");
    sender.at(2_000).twice(Control::CarriageReturn).text("second row");
    sender.at(4_000).twice(Control::CarriageReturn).text("third row");
    sender.at(6_000).twice(Control::EraseDisplayedMemory);
    let cues = vec![
        cue(begins, 2_000, "", "first row"),
        cue(2_000, 4_000, "", "first row\nsecond row"),
        cue(4_000, 6_000, "", "second row\nthird row"),
    ];
    assert_eq!(sender.finish(9_000), only("CC1", cues));
}

#[test]
fn rows_that_roll_up_move_with_their_base_and_a_pause_within_one_begins_a_cue() {
    let mut sender = first_line();
    sender.twice(Control::RollUp3).row(14, PreambleType::Indent0).at(1_000).text("wait");
    sender.at(3_000).text(" here");
    sender.at(4_000).row(3, PreambleType::Indent0);
    let cues = vec![
        cue(1_000, 3_000, "", "wait"),
        cue(3_000, 4_000, "", "wait here"),
        cue(4_000, 5_000, "line:0", "wait here"),
    ];
    assert_eq!(sender.finish(5_000), only("CC1", cues));
}

#[test]
fn painted_text_is_a_cue_per_row_and_not_per_letter() {
    let mut sender = first_line();
    sender.twice(Control::ResumeDirectionCaptioning).row(13, PreambleType::Indent8);
    sender.at(1_000).text("painted on letter");
    sender.at(1_600).row(14, PreambleType::Indent8).at(1_800).text("by letter").twice(Control::Backspace);
    sender.at(4_000).twice(Control::EraseDisplayedMemory);
    sender.at(4_200).row(14, PreambleType::Indent8).at(4_500).text("and now");
    sender.at(6_000).text(" again").twice(Control::EraseDisplayedMemory);
    let cues = vec![
        cue(1_000, 1_800, "", "painted on letter"),
        cue(1_800, 4_000, "", "painted on letter\nby lette"),
        cue(4_500, 6_000, "", "and now"),
        cue(6_000, 6_120, "", "and now again"),
    ];
    assert_eq!(sender.finish(9_000), only("CC1", cues));
}

#[test]
fn a_code_sent_twice_counts_once_and_one_sent_four_times_twice() {
    let mut sender = first_line();
    sender.code(Control::ResumeDirectionCaptioning).row(14, PreambleType::Indent8).text("abcdefgh");
    sender.twice(Control::MusicalNote).twice(Control::Backspace).twice(Control::Backspace);
    // Padding may come between the two.
    sender.code(Control::TransparentSpace).pair([0x80, 0x80]).code(Control::TransparentSpace).text("ijk");
    let channels = sender.finish(9_000);
    assert_eq!(channels[0].cues.last().expect("a cue").text, "abcdefg ijk");
}

#[test]
fn deleting_to_the_end_of_the_row_leaves_what_is_before() {
    let mut sender = first_line();
    sender.twice(Control::ResumeCaptionLoading).row(14, PreambleType::Indent0).text("keep this, not that");
    sender.row(14, PreambleType::Indent8).twice(Control::TabOffset1).twice(Control::DeleteToEndOfRow);
    sender.twice(Control::EndOfCaption);
    assert_eq!(sender.finish(9_000)[0].cues[0].text, "keep this");
}

#[test]
fn an_extended_character_replaces_the_letter_sent_for_older_receivers() {
    let mut sender = first_line();
    sender.twice(Control::ResumeCaptionLoading).row(14, PreambleType::WhiteItalics);
    sender.text("Cafe").twice(Control::LatinCapitalEWithAcute).text("s");
    sender.twice(Control::LatinLowerSharpS).text("! 'n").twice(Control::MusicalNote);
    sender.twice(Control::EndOfCaption);
    assert_eq!(sender.finish(9_000)[0].cues[0].text, "<i>CafÉß! 'n♪</i>");
}

#[test]
fn field_two_has_channels_of_its_own_and_what_is_not_captions_is_passed_over() {
    let mut sender = Sender::on(1, Line::ONE);
    sender.twice(Control::ResumeCaptionLoading).row(14, PreambleType::Indent12);
    // XDS: the name of the programme, its end, and nothing after it without a code.
    sender.text("ho").pair([0x01, 0x83]).text("Some show").pair([0x8f, 0x1c]);
    sender.twice(Control::ResumeCaptionLoading).text("la");
    // Text mode, and out of it.
    sender.twice(Control::TextRestart).text("news").twice(Control::ResumeCaptionLoading);
    sender.at(4_000).twice(Control::EndOfCaption);
    sender.line = Line::TWO;
    sender.twice(Control::ResumeCaptionLoading).row(14, PreambleType::Indent12).text("four");
    sender.at(5_000).twice(Control::EndOfCaption);
    let channels = sender.finish(6_000);
    let expected = [("CC3", cue(4_000, 6_000, "", "hola")), ("CC4", cue(5_000, 6_000, "", "four"))];
    let expected = expected.map(|(name, cue)| Channel { name: name.to_owned(), cues: vec![cue] });
    assert_eq!(channels, expected);
}

#[test]
fn pairs_with_wrong_parity_and_pairs_marked_invalid_are_dropped() {
    let mut sender = first_line();
    sender.twice(Control::ResumeCaptionLoading).row(14, PreambleType::Indent12).text("ok");
    sender.pair([0x41, 0xc1]);
    sender.closed.take(sender.now_ms, &[0xf8, 0xc1, 0xc1, 0xfc, 0xc1]);
    sender.at(1_000).twice(Control::EndOfCaption);
    assert_eq!(sender.finish(2_000), only("CC1", vec![cue(1_000, 2_000, "", "ok")]));
}

/// `cc_data` of a packet with these codes for a service, without its head.
fn packet(service: u8, codes: &[Dtv]) -> Vec<u8> {
    let mut packet = DTVCCPacket::new(0);
    for code in codes {
        packet.push_code(service, code.clone()).expect("fits a packet");
    }
    let mut writer = CCDataWriter::default();
    writer.push_packet(packet);
    let mut data = Vec::new();
    writer.write(Framerate::new(25, 1), &mut data).expect("a vector takes all");
    data.split_off(2)
}

fn window(id: u8, anchor: Anchor, vertical: u8, rows: u8, visible: bool) -> Dtv {
    Dtv::DefineWindow(DefineWindowArgs::new(
        id,
        0,
        anchor,
        true,
        vertical,
        50,
        rows - 1,
        31,
        true,
        true,
        visible,
        1,
        1,
    ))
}

fn letters(text: &str) -> Vec<Dtv> {
    text.chars().map(|letter| Dtv::from_char(letter).expect("a letter of the tables")).collect()
}

fn pen(italics: bool) -> Dtv {
    let (size, font, tag) = (PenSize::Standard, FontStyle::Default, TextTag::Dialog);
    Dtv::SetPenAttributes(SetPenAttributesArgs::new(
        size,
        font,
        tag,
        TextOffset::Normal,
        italics,
        false,
        EdgeType::None,
    ))
}

#[test]
fn a_service_shows_its_windows_from_the_top_while_they_are_visible() {
    let mut closed = Closed::new();
    let mut low = vec![window(0, Anchor::BottomMiddle, 95, 2, false)];
    low.extend(letters("below <"));
    low.extend([Dtv::CR, pen(true)]);
    low.extend(letters("Š…"));
    let mut high = vec![window(1, Anchor::TopMiddle, 5, 1, false)];
    high.extend(letters("abovee"));
    high.push(Dtv::BS);
    // A packet may come in pieces.
    let data = packet(2, &low);
    closed.take(0, &data[..6]);
    closed.take(40, &data[6..]);
    closed.take(80, &packet(2, &high));
    closed.take(1_000, &packet(2, &[Dtv::DisplayWindows(WindowBits::ZERO)]));
    closed.take(2_000, &packet(2, &[Dtv::ToggleWindows(WindowBits::ONE)]));
    closed.take(3_000, &packet(2, &[Dtv::HideWindows(WindowBits::ZERO)]));
    closed.take(4_000, &packet(2, &[Dtv::DeleteWindows(WindowBits::from(0xff))]));
    let cues = vec![
        cue(1_000, 2_000, "", "below &lt;\n<i>Š…</i>"),
        cue(2_000, 3_000, "", "above\nbelow &lt;\n<i>Š…</i>"),
        cue(3_000, 4_000, "line:0", "above"),
    ];
    assert_eq!(closed.finish(9_000), only("Service 2", cues));
}

#[test]
fn rows_of_a_service_roll_up_and_a_change_over_two_pictures_is_one() {
    let mut closed = Closed::new();
    let mut codes = vec![window(0, Anchor::BottomLeft, 95, 2, true)];
    codes.push(Dtv::SetPenLocation(SetPenLocationArgs::new(1, 0)));
    codes.extend(letters("first"));
    closed.take(1_000, &packet(1, &codes));
    codes = vec![Dtv::CR];
    codes.extend(letters("second"));
    closed.take(2_000, &packet(1, &codes));
    codes[1..].reverse();
    closed.take(3_000, &packet(1, &codes));
    closed.take(4_000, &packet(1, &[Dtv::ClearWindows(WindowBits::ZERO)]));
    closed.take(4_040, &packet(1, &[Dtv::FF, Dtv::P16(0xac00), Dtv::P16(0x000a)]));
    let cues = vec![
        cue(1_000, 2_000, "", "first"),
        cue(2_000, 3_000, "", "first\nsecond"),
        cue(3_000, 4_000, "", "second\ndnoces"),
        cue(4_040, 5_000, "", "가"),
    ];
    assert_eq!(closed.finish(5_000), only("Service 1", cues));
}

#[test]
fn a_service_with_the_words_of_line_21_is_left_out_and_another_is_not() {
    let mut sender = first_line();
    sender.twice(Control::ResumeCaptionLoading).row(14, PreambleType::Indent8).text("IT’S ALL THE SAME");
    sender.at(2_000).twice(Control::EndOfCaption);
    for (service, text) in [(1, "It's all the same..."), (2, "Nada es lo mismo")] {
        let mut codes = vec![window(0, Anchor::BottomMiddle, 95, 1, true)];
        codes.extend(letters(text));
        sender.closed.take(2_100, &packet(service, &codes));
    }
    let channels = sender.finish(4_000);
    let names: Vec<_> = channels.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(names, ["CC1", "Service 2"]);
}
