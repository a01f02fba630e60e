//! Folding of accented and ligature characters to plain letters, so that "Ångström" finds "angstrom".

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Letters that Unicode does not decompose though readers of Latin script do.
const UNDECOMPOSED: [(char, &str); 20] = [
    ('ß', "ss"),
    ('ẞ', "SS"),
    ('æ', "ae"),
    ('Æ', "AE"),
    ('œ', "oe"),
    ('Œ', "OE"),
    ('ø', "o"),
    ('Ø', "O"),
    ('ł', "l"),
    ('Ł', "L"),
    ('đ', "d"),
    ('Đ', "D"),
    ('ð', "d"),
    ('Ð', "D"),
    ('þ', "th"),
    ('Þ', "TH"),
    ('ı', "i"),
    ('ħ', "h"),
    ('Ħ', "H"),
    ('ŧ', "t"),
];

/// Appends `text` to `folded` with compatibility forms decomposed (NFKD of Unicode Annex 15), combining marks dropped and
/// undecomposable Latin letters spelled out. Letters of other scripts stay.
pub fn fold_into(text: &str, folded: &mut String) {
    if text.is_ascii() {
        folded.push_str(text);
        return;
    }
    for character in text
        .nfkd()
        .filter(|&character| !is_combining_mark(character))
    {
        match UNDECOMPOSED.iter().find(|(from, _)| *from == character) {
            Some((_, to)) => folded.push_str(to),
            None => folded.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn accents_ligatures_and_widths_fold() {
        for (text, expected) in [
            ("plain", "plain"),
            ("Ångström", "Angstrom"),
            ("Straße", "Strasse"),
            ("œuvre ﬁne", "oeuvre fine"),
            ("smørrebrød Łódź", "smorrebrod Lodz"),
            ("Ｆｕｌｌ", "Full"),
            ("Привет", "Привет"),
        ] {
            let mut folded = String::new();
            super::fold_into(text, &mut folded);
            assert_eq!(folded, expected, "{text}");
        }
    }
}
