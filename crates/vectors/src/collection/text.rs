//! Search for words over all segments: first the statistics of all of them, then each is scored with the sum.
//!
//! So scores depend neither on how points are spread over segments nor on dead rows. A sealed segment whose index is not
//! built yet, or was found damaged, has one built in memory for the one query: slow, and right.

use std::borrow::Cow;
use std::collections::HashMap;

use super::searcher::{Candidate, allowed, best};
use super::{Collection, SegmentSet};
use crate::error::VectorsError;
use crate::filter::FieldPath;
use crate::payload;
use crate::query::{Ranked, TextSearch};
use crate::segment::SegmentView;
use crate::text::{AnalyzerOptions, Bm25, TextIndex, TextIndexSearch, TextQuery, TextStatistics};

/// The index of a field in every segment, as far as the query has come.
struct FieldSearch<'a> {
    key: &'a FieldPath,
    options: AnalyzerOptions,
    /// By number of segment, of those that have none of their own.
    made: HashMap<u64, TextIndex>,
}

impl Collection {
    /// The best points for words by BM25 over all live points, equal ranks in the order of ids.
    pub(super) fn search_text(&self, search: &TextSearch<'_>) -> Result<Vec<Ranked>, VectorsError> {
        let key: FieldPath = search.field.parse()?;
        let set = self.current();
        let Some((options, scoring)) = scored_text(&set, &key) else {
            return Err(VectorsError::Missing {
                what: "text index with scores",
                name: search.field.to_owned(),
            });
        };
        let scoring = search.parameters.scoring(scoring);
        let mut field = FieldSearch {
            key: &key,
            options,
            made: HashMap::new(),
        };
        let query = field.query(&set, search)?;
        if query.is_empty() || search.limit == 0 {
            return Ok(Vec::new());
        }
        let now = self.now_unix_ms();
        let mut statistics = TextStatistics::default();
        for segment in set.handles() {
            segment.with(|view| {
                view.sweep_expired(now);
                let index = field.index(segment.number(), view)?;
                statistics.add(&index.statistics(&query, Some(view.live()))?);
                Ok::<(), VectorsError>(())
            })?;
        }
        let mut candidates = Vec::new();
        set.walk(
            || self.current(),
            |segment| {
                segment.with(|view| {
                    view.sweep_expired(now);
                    let rows = match search.filter.is_empty() {
                        true => None,
                        false => Some(payload::rows(search.filter, view, view.payload_indexes())?),
                    };
                    let found = field
                        .index(segment.number(), view)?
                        .search(&TextIndexSearch {
                            query: &query,
                            statistics: &statistics,
                            k1: scoring.k1,
                            b: scoring.b,
                            k: search.limit,
                            allowed: allowed(view, rows.as_ref()),
                        })?;
                    candidates.extend(found.iter().map(|one| Candidate {
                        id: view.id(one.row),
                        version: view.version(one.row),
                        rank: one.rank,
                    }));
                    Ok(())
                })
            },
        )?;
        self.want_indexes(search.filter);
        Ok(best(candidates, search.limit))
    }
}

/// How a field's texts are cut and scored, when it has an index for that.
fn scored_text(set: &SegmentSet, key: &FieldPath) -> Option<(AnalyzerOptions, Bm25)> {
    let key = key.to_string();
    set.payload_indexes
        .iter()
        .filter(|index| index.key == key)
        .find_map(|index| index.kind.scored_text())
}

impl FieldSearch<'_> {
    /// The query's words, cut by the analyzer of the growing segment, which always has the index.
    fn query(&self, set: &SegmentSet, search: &TextSearch<'_>) -> Result<TextQuery, VectorsError> {
        let rows = set.growing.read();
        let made;
        let index = match rows.payload_indexes().text_of(self.key, rows.rows()) {
            Some(index) => index,
            None => {
                made = TextIndex::new(&self.options)?;
                &made
            }
        };
        let all = search.parameters.all_terms;
        Ok(match search.parameters.phrases {
            true => TextQuery::with_quoted_phrases(index.analyzer(), search.text, all),
            false => TextQuery::words(index.analyzer(), search.text, all),
        })
    }

    /// The index of a segment.
    fn index<'v>(
        &'v mut self,
        number: u64,
        view: &'v dyn SegmentView,
    ) -> Result<&'v TextIndex, VectorsError> {
        let own = view.payload_indexes().text_of(self.key, view.rows());
        if let Some(own) = own.filter(|own| *own.analyzer().options() == self.options) {
            return Ok(own);
        }
        if !self.made.contains_key(&number) {
            let mut index = TextIndex::new(&self.options)?;
            for row in 0..view.rows() {
                let payload: Cow<'_, _> = view.payload(row)?;
                let mut texts = Vec::new();
                self.key.any_element(&payload, &mut |value| {
                    texts.extend(value.as_str().map(str::to_owned));
                    false
                });
                index.insert(row, texts.iter().map(String::as_str))?;
            }
            self.made.insert(number, index);
        }
        Ok(&self.made[&number])
    }
}
