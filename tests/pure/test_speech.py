"""What is said: Vietnamese numbers with every trap, two languages, three dialects, and texts that mean harm."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_centre
from displays.speech import PACKS, PAUSE, Call, FaultyPack, Speech, estimate_ms, load_packs, read_pack, speech_of
from queue_service.centre import CallPhrases, Centre, LetterName, Voice

LANGUAGES = load_packs(PACKS)
VI, EN = LANGUAGES["vi"], LANGUAGES["en"]


def speech(centre: Centre | None = None, **voice: Any) -> Speech:
    """How a small centre with these settings of its voice speaks."""
    return speech_of(msgspec.structs.replace(centre or a_centre(21), voice=Voice(**voice)), LANGUAGES)


def call(number: str, counter: str = "q05", *, rings: int = 1, language: str | None = "vi") -> Call:
    return Call(seq=7, call=7, number=number, counter=counter, at_ms=0, rings=rings, language=language)


def spelled(number: str, **voice: Any) -> str:
    """A printed number in words, pauses as commas."""
    return " ".join(speech(**voice).tongues[0].spelled(number)).replace(" ,", ",")


@pytest.mark.parametrize(
    ("shown", "by_digits", "as_number"),
    [
        ("A001", "a, không không một", "a, một"),
        ("A015", "a, không một năm", "a, mười lăm"),
        ("A021", "a, không hai một", "a, hai mươi mốt"),
        ("A024", "a, không hai bốn", "a, hai mươi tư"),
        ("A055", "a, không năm năm", "a, năm mươi lăm"),
        ("A101", "a, một không một", "a, một trăm linh một"),
        ("A105", "a, một không năm", "a, một trăm linh năm"),
        ("A111", "a, một một một", "a, một trăm mười một"),
        ("A125", "a, một hai năm", "a, một trăm hai mươi lăm"),
        ("A200", "a, hai không không", "a, hai trăm"),
        ("1001", "một không không một", "một nghìn không trăm linh một"),
        ("42", "bốn hai", "bốn mươi hai"),
        ("A-025", "a, không hai năm", "a, hai mươi lăm"),
        ("CA-021", "xê a, không hai một", "xê a, hai mươi mốt"),
        ("HT-015", "hát tê, không một năm", "hát tê, mười lăm"),
        ("Đ007", "đê, không không bảy", "đê, bảy"),
        ("9999999", "chín chín chín chín chín chín chín", "chín chín chín chín chín chín chín"),
    ],
)
def test_a_number_is_read_as_it_is_printed(shown: str, by_digits: str, as_number: str):
    """Digit by digit it is always một, bốn, năm; as a number the rules of Vietnamese hold."""
    assert by_digits == spelled(shown)
    assert as_number == spelled(shown, numbers="number")


@pytest.mark.parametrize(
    ("number", "vietnamese", "english"),
    [
        (0, "không", "zero"),
        (4, "bốn", "four"),
        (5, "năm", "five"),
        (10, "mười", "ten"),
        (11, "mười một", "eleven"),
        (14, "mười bốn", "fourteen"),
        (15, "mười lăm", "fifteen"),
        (20, "hai mươi", "twenty"),
        (21, "hai mươi mốt", "twenty one"),
        (24, "hai mươi tư", "twenty four"),
        (25, "hai mươi lăm", "twenty five"),
        (34, "ba mươi tư", "thirty four"),
        (40, "bốn mươi", "forty"),
        (44, "bốn mươi tư", "forty four"),
        (100, "một trăm", "one hundred"),
        (101, "một trăm linh một", "one hundred and one"),
        (104, "một trăm linh bốn", "one hundred and four"),
        (105, "một trăm linh năm", "one hundred and five"),
        (110, "một trăm mười", "one hundred and ten"),
        (111, "một trăm mười một", "one hundred and eleven"),
        (115, "một trăm mười lăm", "one hundred and fifteen"),
        (121, "một trăm hai mươi mốt", "one hundred and twenty one"),
        (555, "năm trăm năm mươi lăm", "five hundred and fifty five"),
        (1000, "một nghìn", "one thousand"),
        (1001, "một nghìn không trăm linh một", "one thousand and one"),
        (1010, "một nghìn không trăm mười", "one thousand and ten"),
        (1100, "một nghìn một trăm", "one thousand one hundred"),
        (2021, "hai nghìn không trăm hai mươi mốt", "two thousand and twenty one"),
        (15_000, "mười lăm nghìn", "fifteen thousand"),
        (105_005, "một trăm linh năm nghìn không trăm linh năm", "one hundred and five thousand and five"),
    ],
)
def test_numbers_follow_the_rules_of_their_language(number: int, vietnamese: str, english: str):
    """Mốt, tư, lăm after mươi; lăm after mười; linh and không trăm where a place is empty."""
    assert (vietnamese, english) == (VI.number(number), EN.number(number))


@pytest.mark.parametrize(
    ("dialect", "voice", "words"),
    [
        ("north", "vi", "một nghìn không trăm linh một"),
        ("central", "vi-vn-x-central", "một ngàn không trăm lẻ một"),
        ("south", "vi-vn-x-south", "một ngàn không trăm lẻ một"),
    ],
)
def test_each_part_of_the_country_has_its_voice_and_its_words(dialect: str, voice: str, words: str):
    """Linh or lẻ, nghìn or ngàn: a setting."""
    (phrase,) = speech(dialect=dialect, numbers="number").said(call("1001"), "short")

    assert voice == phrase.voice
    assert f"Số {words}, quầy năm." == phrase.text


def test_digits_are_never_mot_tu_lam():
    """Whatever the digits before it: one word a digit, and these ten."""
    digits = dict(
        zip("0123456789", ["không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín"], strict=True)
    )
    for number in range(1000):
        assert "a, " + " ".join(digits[digit] for digit in f"{number:03}") == spelled(f"A{number:03}")


def test_a_call_is_polite_and_short_when_others_wait():
    """The usual phrase of administrative centres, and number and counter alone."""
    assert ["Mời công dân có số thứ tự a, không một hai, đến quầy số hai mươi mốt."] == [
        phrase.text for phrase in speech().said(call("A012", "q21"), "full")
    ]
    assert ["Số a, không một hai, quầy hai mươi mốt."] == [
        phrase.text for phrase in speech().said(call("A012", "q21"), "short")
    ]


@pytest.mark.parametrize(("rings", "times"), [(2, "hai"), (3, "ba"), (4, "tư"), (5, "năm")])
def test_a_recall_says_which_time_it_is(rings: int, times: str):
    """Lần thứ tư, never bốn."""
    (phrase,) = speech().said(call("A012", rings=rings), "full")

    assert f"Mời công dân có số thứ tự a, không một hai, đến quầy số năm, lần thứ {times}." == phrase.text


def test_english_follows_when_the_ticket_asks():
    """Vietnamese first, always."""
    assert ["vi"] == [phrase.language for phrase in speech().said(call("A012"), "full")]
    assert ["vi"] == [phrase.language for phrase in speech().said(call("A012", language=None), "full")]

    _, english = speech().said(call("A012", language="en"), "full")
    assert ("en-us", "Ticket A, zero one two, please go to counter five.") == (english.voice, english.text)
    _, again = speech().said(call("A012", rings=2, language="en"), "full")
    assert "second call for ticket A, zero one two, please go to counter five." == again.text


def test_the_order_of_languages_is_a_setting():
    """The first is always spoken."""
    swapped = speech(languages=("en", "vi"))

    assert ["en"] == [phrase.language for phrase in swapped.said(call("A1", language="en"), "full")]
    assert ["en", "vi"] == [phrase.language for phrase in swapped.said(call("A1"), "full")]
    assert ["vi"] == [phrase.language for phrase in speech(languages=("vi",)).said(call("A1", language="en"), "full")]


def test_a_centre_says_it_in_its_own_words():
    """Phrases, names of letters, and the zone where the centre wants it."""
    phrases = CallPhrases(
        "vi", "Kính mời quý khách có số {number} đến quầy {counter}, {zone}!", short="{number}: {counter}"
    )
    own = speech(phrases=(phrases,), letters=(LetterName("D", "đê"), LetterName("D", "dee", "en")))

    assert "Kính mời quý khách có số đê, một đến quầy năm, Sảnh." == own.said(call("D1"), "full")[0].text
    assert own.said(call("D1"), "full") == own.said(call("D1", rings=2), "full")
    assert "đê, một, năm." == own.said(call("D1"), "short")[0].text
    assert "Ticket dee, one, please go to counter five." == own.said(call("D1", language="en"), "full")[1].text


@given(st.text(max_size=40))
def test_whatever_a_number_holds_only_words_of_the_language_are_said(number: str):
    """Markup, controls, commands and other alphabets are not read out."""
    known = {*VI.letters.values(), *(VI.number(digit) for digit in range(10)), PAUSE}

    assert set(speech().tongues[0].spelled(number)) <= known
    for phrase in speech().said(call(number), "full"):
        assert not {unicodedata.category(one)[0] for one in phrase.text} & {"C"}


@pytest.mark.parametrize("number", ["", "<>", "\x00\x1b[", "–", "١٢٣"])
def test_a_number_nobody_can_read_is_not_spoken(number: str):
    """No phrase without its number."""
    assert () == speech().said(call(number), "full")


def test_a_zones_name_is_spoken_without_what_cannot_be_seen():
    """Whatever came past the check of the file."""
    centre = a_centre(5)
    zone = msgspec.structs.replace(centre.zones[0], name="Khu\n\u202eA")
    phrases = CallPhrases("vi", "{number} {counter} {zone}")
    own = speech(msgspec.structs.replace(centre, zones=(zone,)), phrases=(phrases,))

    assert "một năm Khu A." == own.said(call("1"), "full")[0].text


def test_the_words_to_record_are_all_that_is_ever_said():
    """Every piece of every call of the centre is in the list, once."""
    own = speech(
        phrases=(
            CallPhrases("vi", "Mời số {number}, {zone}, quầy {counter}", again="Lần thứ {times}, {number}, {counter}"),
        )
    )
    words = own.words()

    assert all(len(pieces) == len(set(pieces)) for pieces in words.values())
    for number in ("A001", "A999", "A480"):
        for counter in own.centre.counters:
            for rings in range(1, 4):
                for form in ("full", "short"):
                    for phrase in own.said(call(number, counter.id, rings=rings, language="en"), form):
                        assert {*phrase.pieces} - {PAUSE} <= {*words[phrase.language]}


def test_words_to_record_cover_numbers_read_as_numbers():
    """Mốt, tư, lăm and linh are among them then."""
    assert {"mốt", "tư", "lăm", "linh", "trăm", "mươi", "mười"} <= {*speech(numbers="number").words()["vi"]}


def test_an_estimate_is_near_what_the_voice_takes():
    """4.3 s for the phrase and 2.3 s for the short one, measured at rate 0.9 with espeak-ng 1.52."""
    assert 3_600 < estimate_ms(speech().said(call("A012"), "full"), 0.9) < 4_900
    assert 1_900 < estimate_ms(speech().said(call("A012"), "short"), 0.9) < 2_700


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ('language = "vi"', 'language = "Vietnamese"', "language"),
        ('short = "Số {number}, quầy {counter}."', 'short = "Số {number}."', r"phrases\.short must say"),
        ('short = "Số {number}, quầy {counter}."', 'short = "{number} {counter} {name}"', r"phrases\.short must say"),
        ('"< mươi[ >after-tens>]"', '"< mươi[ >nothing>]"', r"no rules numbers\.nothing"),
        ('10 = "mười[ >after-ten>]"', '10 = "=cardinal="', "never end"),
        ('9 = "chín"\n', '9 = "chín"\nten = "mười"\n', "'ten' is no number"),
        ('0 = "không"\n', "", r"numbers\.cardinal has no rule for 0"),
        ('A = "a"\n', "", "letters has no name for A"),
        ("[phrases]", "[phrases", "phrases|Expected"),
        ("[dialects.north]\nvoice", "[dialects.north]\nvoices", "voices"),
    ],
)
def test_a_faulty_pack_is_told_in_a_sentence(before: str, after: str, sentence: str):
    """With its name, before anybody hears it."""
    text = (PACKS / "vi.toml").read_text("utf-8")
    assert before in text

    with pytest.raises(FaultyPack, match=sentence):
        read_pack(text.replace(before, after), "xx.toml")


def test_a_pack_in_another_folder_replaces_ours(tmp_path: Path):
    """A language is a file."""
    text = (PACKS / "en.toml").read_text("utf-8").replace("please go to", "go to")
    (tmp_path / "en.toml").write_text(text, "utf-8")

    packs = load_packs(PACKS, tmp_path)

    assert {"vi", "en"} <= set(packs)
    assert "Ticket {number}, go to counter {counter}." == packs["en"].phrases.call


A_TEST_LANGUAGE = """
# No real language: words in the manner of Tay, made up for this test.
language = "tyz"

[phrases]
call = "Xo {number}, pay {counter}."
again = "Xo {number}, pay {counter}, {times}."
short = "{number}, {counter}."

[dialects.north]
voice = "vi"

[letters]
{letters}

[numbers.cardinal]
0 = "o"
1 = "net"
2 = "song"
10 = "xip[ >cardinal>]"
20 = "< xip[ >cardinal>]"
100 = "< pac[ >cardinal>]"
1000 = "< xien[ >cardinal>]"

[numbers.digit]
0 = "=cardinal="

[numbers.ordinal]
0 = "tu =cardinal="
"""


def test_a_third_language_is_a_file(tmp_path: Path):
    """Dropped into a folder and named by the centre, it is spoken when the ticket asks; no code knows it."""
    letters = "\n".join(f'{letter} = "{letter.lower()}i"' for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    digits = "\n".join(f'{digit} = "d{digit}"' for digit in range(3, 10))
    text = A_TEST_LANGUAGE.replace("{letters}", letters).replace('2 = "song"', f'2 = "song"\n{digits}')
    (tmp_path / "tyz.toml").write_text(text, "utf-8")
    packs = load_packs(PACKS, tmp_path)
    centre = msgspec.structs.replace(a_centre(21), languages=("vi", "en", "tyz"))

    vietnamese, other = speech_of(centre, packs).said(call("A012", "q21", rings=2, language="tyz"), "full")
    assert "vi" == vietnamese.language
    assert ("tyz", "Xo ai, o net song, pay song xip net, tu song.") == (other.language, other.text)
    assert ["vi", "en", "tyz"] == list(speech_of(centre, packs).words())
    assert "d9" in speech_of(centre, packs).words()["tyz"]
