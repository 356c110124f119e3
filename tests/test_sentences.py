"""Toytown's sentences: many words, good grammar in three languages, one English for each French."""

import re
import time
from collections import Counter

import numpy as np
import pytest
from toytown import sentences
from toytown.sentences import KINDS, LANGUAGES, Sentence, meeting, number, sentence, story

DRAWS = 5_000
WORD = r"[^\W\d]+"
VOWEL = "[aeiouâàéèêîôœ]"


def draw(language: str, count: int, seed: int) -> list[Sentence]:
    random = np.random.default_rng(seed)
    return [sentence(random, language) for _ in range(count)]


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Sentence]]:
    return {language: draw(language, DRAWS, seed=7) for language in LANGUAGES}


def words(drawn: list[Sentence]) -> Counter:
    """How often each word is spoken; "twenty-four" is two words, "l'eau" too."""
    return Counter(word for said in drawn for word in re.findall(WORD, said.spoken.lower()))


@pytest.fixture(scope="module")
def text() -> str:
    """12,000 English sentences: a word that comes once in 3,000 should be there four times."""
    return " ".join(said.text.lower() for said in draw("en", 12_000, seed=8))


# Variety -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "least"), [("en", 650), ("fr", 300), ("es", 300)])
def test_a_language_has_many_words(drawn, language, least):
    assert len(words(drawn[language])) >= least


@pytest.mark.parametrize("table", ["role", "place", "object", "gear", "event", "paper", "food"])
def test_no_english_noun_is_very_rare(text, table):
    for noun in sentences.NOUNS[table]:
        forms = f"{re.escape(noun.singular['en'])}|{re.escape(noun.plural['en'])}"
        assert len(re.findall(rf"\b({forms})\b", text)) >= 4, noun.singular["en"]


@pytest.mark.parametrize("table", ["errand", "plan", "deed"])
def test_no_english_verb_is_very_rare(text, table):
    for base, past, *_ in sentences.VERBS[table]:
        assert len(re.findall(rf"\b({base}|{past})\b", text)) >= 4, base


def test_every_kind_has_ten_frames_and_english_sentences_of_4_to_16_words(drawn):
    assert {said.kind for said in drawn["en"]} == set(KINDS)
    assert all(len(frames) >= 10 for frames in sentences.FRAMES.values())
    assert all(4 <= len(said.text.split()) <= 16 for said in drawn["en"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_new_sentence_is_seldom_one_of_the_training_sentences(drawn, language):
    training = {said.text for said in draw(language, 20_000, seed=9)}
    assert np.mean([said.text in training for said in drawn[language]]) < 0.10


def test_numbers_times_and_dates_are_written_in_digits_and_spoken_in_words(drawn):
    assert number(80, "fr") == "quatre-vingts"
    assert number(97, "fr") == "quatre-vingt-dix-sept"
    assert number(71, "fr") == "soixante et onze"
    assert number(200, "fr") == "deux cents"
    assert number(208, "fr") == "deux cent huit"
    assert number(100, "es") == "cien"
    assert number(245, "es", "f") == "doscientas cuarenta y cinco"
    assert number(26, "es") == "veintiséis"
    said = {said.text: said.spoken for said in drawn["en"]}
    for text, spoken in said.items():
        if match := re.search(r"\b(\d+):15", text):
            assert f"{number(int(match[1]), 'en')} fifteen" in spoken
        assert ("Dr." in text) == ("Doctor" in spoken)
    assert any(re.search(r"\d:\d\d", text) for text in said)


# What is said --------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_spoken_has_only_letters_and_little_punctuation(drawn, language):
    for said in drawn[language]:
        assert re.fullmatch(r"[^\W\d_]*([^\W\d_]|[ '.,?¿-])+", said.spoken), said.spoken
        assert not re.search(r"\b(Dr|Mr|Mrs|Mme|Sr|Sra)\b|[{}\[\]|]| {2}", said.spoken)


@pytest.mark.parametrize("language", LANGUAGES)
def test_text_and_spoken_are_the_same_but_for_numbers_and_titles(drawn, language):
    for said in drawn[language]:
        if not re.search(r"\d|\b(Dr|Mr|Mrs|M|Mme|Sr|Sra)\b", said.text):
            assert said.text == said.spoken
        assert re.match(r"¿?[A-ZÀÉÎŒ\d]", said.text), said.text
        assert said.text[-1] in ".?"


# Agreement, found again in the text by a list of genders written by hand ----------------------

FRENCH = {
    "m": "marché musée théâtre port château boulanger médecin maire rapport concert budget chapeau "
    "couteau gâteau chien chat bateau pont feu tunnel piano moteur crayon vélo train camion",
    "f": "gare banque mairie boulangerie piscine cuisinière chanteuse lettre liste facture fête "
    "réunion clé table boîte bougie valise voiture tortue vache grenouille pomme carotte porte",
}
SPANISH = {
    "m": "mercado museo teatro puerto castillo panadero médico alcalde informe concierto sombrero "
    "cuchillo pastel perro gato barco puente túnel piano motor lápiz tren camión mapa cartel",
    "f": "estación escuela panadería piscina enfermera cantante carta lista factura fiesta reunión "
    "llave mesa caja vela maleta tortuga vaca rana manzana zanahoria puerta torre bicicleta",
}
ARTICLES = {
    "fr": {"m": {"le", "un", "du", "au"}, "f": {"la", "une"}},
    "es": {"m": {"el", "un", "del", "al"}, "f": {"la", "una"}},
}
BEFORE = r"(?:(?:petit|grand|jolie?|nouveau|nouvelle|vieux|vieille|beau|belle)e? )?"


@pytest.mark.parametrize(("language", "genders"), [("fr", FRENCH), ("es", SPANISH)])
def test_an_article_has_the_gender_of_its_noun(drawn, language, genders):
    text = " ".join(said.text.lower() for said in drawn[language])
    every = set().union(*ARTICLES[language].values())
    for gender, nouns in genders.items():
        for noun in nouns.split():
            found = Counter(re.findall(rf"\b({WORD}) {BEFORE}{noun}\b", text))
            articles = {word for word in found if word in every}
            assert articles, noun
            assert articles <= ARTICLES[language][gender], (noun, articles)


def test_french_elides_and_contracts(drawn):
    for said in drawn["fr"]:
        for text in (said.text.lower(), said.spoken.lower()):
            assert not re.search(rf"\b(le|la|de|que|je|ne) (?!huit|onze){VOWEL}", text), text
            assert not re.search(r"\b(de|à) (le|les)\b|\bla? (homme|horloge|hôtel|hôpital)", text)
            assert not re.search(rf"\b(nouveau|vieux|beau) {VOWEL}\w*(?<!x)\b", text), text
            assert not re.search(r"\b(l'|d')(?![aeiouâàéèêîôœh])", text), text


def test_spanish_contracts_and_opens_its_questions(drawn):
    for said in drawn["es"]:
        assert not re.search(r"\b(a|de) el\b", said.text), said.text
        assert not re.search(r"\b[yY] [iI]|\be hie|\bo [oO]|\bla agua\b", said.text), said.text
        assert ("¿" in said.text) == ("?" in said.text), said.text


@pytest.mark.parametrize(
    ("language", "right"),
    [
        ("fr", {"voiture": "blanche|noire|verte|bleue|grise|violette|lourde|chère|ronde|élégante"}),
        ("fr", {"chapeau": "blanc|noir|vert|bleu|gris|violet|lourd|cher|rond|élégant"}),
        (
            "es",
            {"caja": "blanca|negra|roja|amarilla|morada|pesada|cara|redonda|vieja|nueva|gris"},
        ),
        (
            "es",
            {"sombrero": "blanco|negro|rojo|amarillo|morado|pesado|caro|redondo|viejo|nuevo|gris"},
        ),
    ],
)
def test_an_adjective_agrees_with_its_noun(language, right):
    text = " ".join(said.text.lower() for said in draw(language, 10_000, seed=10))
    for noun, forms in right.items():
        stems = "blanc|noir|vert|bleu|gris|violet|lourd|cher|chèr|rond|élégant|negr|roj|amarill"
        stems += "|morad|pesad|car[ao]|redond|viej|nuev"
        found = set(re.findall(rf"\b{noun} ((?:{stems}){WORD[:-1]}*)\b", text))
        assert found, noun
        assert found <= set(forms.split("|")), found


# Translation and determinism -----------------------------------------------------------------


@pytest.mark.parametrize("language", ["fr", "es"])
def test_a_sentence_has_one_translation(drawn, language):
    translations: dict[str, set] = {}
    for said in drawn[language]:
        translations.setdefault(said.text, set()).add(said.english)
    assert all(len(english) == 1 for english in translations.values())
    for said in drawn[language]:  # the same numbers in both, but for the hour's format
        ours = re.findall(r"\d+", said.text.replace("1er", "1"))
        assert sorted(ours) == sorted(re.findall(r"\d+", said.english)), said


def test_no_table_gives_two_english_words_for_one_french():
    tables = sentences.PHRASES | sentences.ADJECTIVES
    for name, rows in tables.items():
        for language in ("fr", "es"):
            said = [row[language] for row in rows if language in row]
            assert len(said) == len(set(said)), name


def test_english_is_its_own_translation(drawn):
    assert all(said.english == said.text for said in drawn["en"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_seed_gives_the_same_sentence(language):
    assert draw(language, 50, seed=11) == draw(language, 50, seed=11)
    assert draw(language, 50, seed=11) != draw(language, 50, seed=12)


def test_a_kind_can_be_asked_for_and_bad_input_is_told():
    random = np.random.default_rng(0)
    for kind in KINDS:
        assert sentence(random, "fr", kind).kind == kind
    with pytest.raises(ValueError, match="Toytown speaks en, fr, es, not 'de'"):
        sentence(random, "de")
    with pytest.raises(ValueError, match=r"kinds of sentences are .*, not 'poem'"):
        sentence(random, kind="poem")


def test_a_sentence_takes_less_than_a_millisecond():
    start = time.perf_counter()
    draw("es", 1_000, seed=13)
    assert time.perf_counter() - start < 1.0


# Meetings and stories ------------------------------------------------------------------------


def test_a_meeting_has_three_people_a_topic_and_tasks_with_a_person_and_a_day():
    days = "Mon|Tues|Wednes|Thurs|Fri|Satur|Sun"
    due = rf"(by|before) .*(({days})day|tomorrow|weekend|the end of [A-Z]\w+)"
    for seed in range(100):
        turns = meeting(np.random.default_rng(seed))
        names = {name for name, _ in turns}
        assert len(names) == 3
        assert 8 <= len(turns) <= 12
        tasks = [re.search(rf"(\w+) (will|has to) .* {due}", said.text) for _, said in turns]
        assert 2 <= sum(task is not None and task[1] in names for task in tasks) <= 3
        said = Counter(word for _, turn in turns for word in re.findall(r"\w+", turn.text.lower()))
        events = [noun.singular["en"].split()[-1] for noun in sentences.NOUNS["event"]]
        assert max(said[event] for event in events) >= 2


def test_a_story_is_about_one_person_and_one_animal():
    for seed in range(100):
        told = story(np.random.default_rng(seed))
        assert 4 <= len(told) <= 6
        text = " ".join(said.text for said in told)
        assert sum(name in text.split() for name, _ in sentences.PEOPLE) == 1
        assert not re.search(r"[{}\[\]|]", text)
