//! The prefix index: which tokens are in which cells of the key/value cache, and who holds them.
//!
//! One radix tree per salt. A node is a run of cells that were computed together; a path from the root is the
//! content of a sequence. The tree is at once the index (find the longest cached prefix of a prompt) and the
//! account of the cache (a cell shared by many sequences is one cell of one node), so the two cannot disagree.
//!
//! ```text
//!  salt "acme" ── [system prompt] ──┬── [question A, answer A]   ← sequence 0 (live)
//!                                   └── [question B]             ← sequence 3 (retained)
//! ```
//!
//! A sequence is *live* while a request computes in it and *retained* when only its cells are wanted, as a prefix
//! for later requests. Two siblings may begin with the same token: two requests that computed the same text at the
//! same time own two copies, and a lookup follows both.
//!
//! Invariants, checked by [`PrefixIndex::assert_invariants`] in every test step:
//!  1. The cells used equal the sum of the runs of all nodes.
//!  2. Every node is held: some sequence ends in it or below it.
//!  3. A run is never empty, except at the root of a salt; its positions follow those of its parent.
//!  4. Nodes are reachable from exactly one salt: tenants never meet.
//!
//! The tree says what must be done to the engine (`share`, `truncate`) and never does it itself.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::{SequenceId, Token};

/// What separates one owner's cached prefixes from another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Salt {
    /// The tenant that computed the prefix.
    pub tenant: Arc<str>,
    /// A separation of the caller's own within the tenant.
    pub salt: Arc<str>,
}

type NodeIndex = usize;

/// A cached prefix found for a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixMatch {
    /// Tokens of the prompt that are cached.
    pub tokens: u32,
    node: NodeIndex,
}

/// What eviction asks the engine to do: cut `sequence` at `keep` positions (0 removes it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eviction {
    /// The retained sequence that gives up cells.
    pub sequence: SequenceId,
    /// Positions that stay.
    pub keep: u32,
}

#[derive(Debug)]
struct Node {
    parent: Option<NodeIndex>,
    start: u32,
    tokens: Vec<Token>,
    children: Vec<NodeIndex>,
    /// Sequences that end exactly here.
    tips: Vec<SequenceId>,
    last_used: u64,
    salt: Option<Salt>,
}

impl Node {
    fn end(&self) -> u32 {
        self.start + count(&self.tokens)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Free,
    Live(NodeIndex),
    Retained(NodeIndex),
}

impl Slot {
    fn node(self) -> Option<NodeIndex> {
        match self {
            Slot::Free => None,
            Slot::Live(node) | Slot::Retained(node) => Some(node),
        }
    }
}

/// The radix tree over all sequences of one engine.
#[derive(Debug)]
pub struct PrefixIndex {
    nodes: Vec<Option<Node>>,
    vacant: Vec<NodeIndex>,
    roots: HashMap<Salt, NodeIndex>,
    slots: Vec<Slot>,
    cells_used: u32,
    uses: u64,
    cuts_anywhere: bool,
}

fn count(tokens: &[Token]) -> u32 {
    u32::try_from(tokens.len()).unwrap_or(u32::MAX)
}

/// Length of the common beginning of two token runs.
#[must_use]
pub fn common_prefix(left: &[Token], right: &[Token]) -> usize {
    left.iter()
        .zip(right)
        .take_while(|(left, right)| left == right)
        .count()
}

impl PrefixIndex {
    /// An empty index over `sequences` ids. `cuts_anywhere` is the engine's `partial_removal`: without it only
    /// whole sequences are shared and evicted.
    #[must_use]
    pub fn new(sequences: u32, cuts_anywhere: bool) -> Self {
        Self {
            nodes: Vec::new(),
            vacant: Vec::new(),
            roots: HashMap::new(),
            slots: vec![Slot::Free; sequences as usize],
            cells_used: 0,
            uses: 0,
            cuts_anywhere,
        }
    }

    /// Cells held by all sequences, each shared cell counted once.
    #[must_use]
    pub fn cells_used(&self) -> u32 {
        self.cells_used
    }

    /// Cells that eviction can free: those that no live sequence holds.
    #[must_use]
    pub fn cells_evictable(&self) -> u32 {
        let mut held = vec![false; self.nodes.len()];
        let mut live = 0;
        for slot in &self.slots {
            let Slot::Live(tip) = *slot else { continue };
            let mut cursor = Some(tip);
            while let Some(index) = cursor {
                if std::mem::replace(&mut held[index], true) {
                    break;
                }
                let node = self.node(index);
                live += count(&node.tokens);
                cursor = node.parent;
            }
        }
        self.cells_used - live
    }

    /// Sequences that are neither live nor retained.
    #[must_use]
    pub fn free_sequences(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| **slot == Slot::Free)
            .count()
    }

    /// Number of live sequences.
    #[must_use]
    pub fn live_sequences(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| matches!(slot, Slot::Live(_)))
            .count()
    }

    /// The lowest id that nobody holds.
    #[must_use]
    pub fn free_sequence(&self) -> Option<SequenceId> {
        let index = self.slots.iter().position(|slot| *slot == Slot::Free)?;
        SequenceId::try_from(index).ok()
    }

    /// Positions that `sequence` holds.
    #[must_use]
    pub fn length(&self, sequence: SequenceId) -> u32 {
        self.slots[sequence as usize]
            .node()
            .map_or(0, |node| self.node(node).end())
    }

    /// The longest cached beginning of `prompt` under `salt`.
    #[must_use]
    pub fn longest(&self, salt: &Salt, prompt: &[Token]) -> Option<PrefixMatch> {
        let root = *self.roots.get(salt)?;
        let mut best: Option<PrefixMatch> = None;
        let mut open = vec![root];
        while let Some(index) = open.pop() {
            let node = self.node(index);
            let rest = &prompt[node.start as usize..];
            let common = common_prefix(&node.tokens, rest);
            let whole = common == node.tokens.len();
            let end = node.start + u32::try_from(common).unwrap_or(u32::MAX);
            let usable = self.cuts_anywhere || (whole && !node.tips.is_empty());
            if usable && common > 0 && best.is_none_or(|best| end > best.tokens) {
                best = Some(PrefixMatch {
                    tokens: end,
                    node: index,
                });
            }
            if whole && let Some(&next) = prompt.get(end as usize) {
                let follows = |child: &&NodeIndex| self.node(**child).tokens.first() == Some(&next);
                open.extend(node.children.iter().filter(follows));
            }
        }
        best
    }

    /// Makes `sequence` live at the root of `salt`, with nothing in it.
    ///
    /// # Panics
    /// When the sequence is in use.
    pub fn open(&mut self, sequence: SequenceId, salt: &Salt) {
        assert_eq!(self.slots[sequence as usize], Slot::Free, "sequence in use");
        let root = match self.roots.get(salt) {
            Some(&root) => root,
            None => {
                let root = self.insert(Node {
                    parent: None,
                    start: 0,
                    tokens: Vec::new(),
                    children: Vec::new(),
                    tips: Vec::new(),
                    last_used: 0,
                    salt: Some(salt.clone()),
                });
                self.roots.insert(salt.clone(), root);
                root
            }
        };
        self.nodes[root]
            .as_mut()
            .expect("root exists")
            .tips
            .push(sequence);
        self.slots[sequence as usize] = Slot::Live(root);
    }

    /// Makes `sequence` live at the end of a cached prefix and returns a sequence to share it from. The match
    /// must be fresh: no other call between the lookup and this.
    ///
    /// # Panics
    /// When the sequence is in use.
    pub fn attach(&mut self, sequence: SequenceId, found: PrefixMatch) -> SequenceId {
        assert_eq!(self.slots[sequence as usize], Slot::Free, "sequence in use");
        let holder = self.any_holder(found.node);
        let node = if found.tokens < self.node(found.node).end() {
            self.split(found.node, found.tokens)
        } else {
            found.node
        };
        self.node_mut(node).tips.push(sequence);
        self.slots[sequence as usize] = Slot::Live(node);
        self.touch(node);
        holder
    }

    /// Records that `tokens` were computed at the end of a live sequence.
    ///
    /// # Panics
    /// When the sequence is not live.
    pub fn append(&mut self, sequence: SequenceId, tokens: &[Token]) {
        let Slot::Live(tip) = self.slots[sequence as usize] else {
            panic!("only a live sequence grows");
        };
        if tokens.is_empty() {
            return;
        }
        self.cells_used += count(tokens);
        let node = self.node_mut(tip);
        let alone = node.parent.is_some() && node.children.is_empty() && node.tips.len() == 1;
        if alone {
            node.tokens.extend_from_slice(tokens);
            return;
        }
        let start = node.end();
        node.tips.retain(|held| *held != sequence);
        let child = self.insert(Node {
            parent: Some(tip),
            start,
            tokens: tokens.to_vec(),
            children: Vec::new(),
            tips: vec![sequence],
            last_used: 0,
            salt: None,
        });
        self.node_mut(tip).children.push(child);
        self.slots[sequence as usize] = Slot::Live(child);
        self.touch(child);
    }

    /// Ends a live sequence. Its cells stay as a cached prefix when that adds something; otherwise the id is
    /// freed and the caller must remove the sequence from the engine (`false`).
    pub fn retain(&mut self, sequence: SequenceId) -> bool {
        let Slot::Live(tip) = self.slots[sequence as usize] else {
            panic!("only a live sequence is retained");
        };
        self.touch(tip);
        let node = self.node(tip);
        // Held by others anyway: below this point, or by a twin that ends here.
        let covered = node.tips.len() > 1 || (self.cuts_anywhere && !node.children.is_empty());
        if node.end() == 0 || covered || self.duplicated(tip) {
            self.release(sequence);
            return false;
        }
        self.slots[sequence as usize] = Slot::Retained(tip);
        true
    }

    /// Forgets a sequence, live or retained; the caller removes it from the engine.
    pub fn release(&mut self, sequence: SequenceId) {
        let Some(tip) = self.slots[sequence as usize].node() else {
            return;
        };
        self.slots[sequence as usize] = Slot::Free;
        self.node_mut(tip).tips.retain(|held| *held != sequence);
        self.prune(tip);
    }

    /// The retained sequence whose cells would be given up next, with its salt and content.
    #[must_use]
    pub fn next_eviction(&self) -> Option<(SequenceId, Salt, Vec<Token>)> {
        let tip = self.evictable_tip()?;
        let sequence = *self.node(tip).tips.last()?;
        let mut runs = Vec::new();
        let mut cursor = tip;
        while let Some(parent) = self.node(cursor).parent {
            runs.push(cursor);
            cursor = parent;
        }
        let salt = self.node(cursor).salt.clone()?;
        let mut tokens = Vec::with_capacity(self.node(tip).end() as usize);
        for run in runs.iter().rev() {
            tokens.extend_from_slice(&self.node(*run).tokens);
        }
        Some((sequence, salt, tokens))
    }

    /// The least recently used end of a retained sequence that nobody goes on from.
    fn evictable_tip(&self) -> Option<NodeIndex> {
        let (tip, _) = self
            .retained()
            .filter(|(_, tip)| self.node(*tip).children.is_empty())
            .filter(|(_, tip)| !self.node(*tip).tips.iter().any(|held| self.is_live(*held)))
            .map(|(_, tip)| (tip, self.node(tip).last_used))
            .min_by_key(|(_, last_used)| *last_used)?;
        Some(tip)
    }

    /// Gives up the least recently used cells that no live sequence holds; `None` when there are none.
    pub fn evict_cells(&mut self) -> Option<Eviction> {
        let tip = self.evictable_tip()?;
        let node = self.node(tip);
        let sequence = *node.tips.last()?;
        let (twins, keep, parent) = (node.tips.len() > 1, node.start, node.parent);
        let inherits = self.cuts_anywhere
            && !twins
            && keep > 0
            && parent.is_some_and(|parent| {
                let parent = self.node(parent);
                parent.tips.is_empty() && parent.children.len() == 1
            });
        if let (true, Some(parent)) = (inherits, parent) {
            // The run goes, and the sequence stays for the older part, which nobody else holds.
            self.node_mut(parent).tips.push(sequence);
            self.slots[sequence as usize] = Slot::Retained(parent);
            self.node_mut(tip).tips.clear();
            self.prune(tip);
            return Some(Eviction { sequence, keep });
        }
        self.release(sequence);
        Some(Eviction { sequence, keep: 0 })
    }

    /// Frees a sequence id: one whose cells others hold too if there is one, else the least recently used that
    /// does not serve `keep_for`. The caller removes it from the engine.
    pub fn evict_sequence(&mut self, keep_for: Option<PrefixMatch>) -> Option<SequenceId> {
        let redundant = self.retained().find(|(_, tip)| {
            let node = self.node(*tip);
            node.tips.len() > 1 || (self.cuts_anywhere && !node.children.is_empty())
        });
        let chosen = redundant.or_else(|| {
            self.retained()
                .filter(|(_, tip)| keep_for.is_none_or(|found| !self.is_below(*tip, found.node)))
                .min_by_key(|(_, tip)| self.node(*tip).last_used)
        });
        let (sequence, _) = chosen?;
        self.release(sequence);
        Some(sequence)
    }

    fn retained(&self) -> impl Iterator<Item = (SequenceId, NodeIndex)> + '_ {
        (0..)
            .zip(&self.slots)
            .filter_map(|(sequence, slot)| match slot {
                Slot::Retained(node) => Some((sequence, *node)),
                _ => None,
            })
    }

    fn is_live(&self, sequence: SequenceId) -> bool {
        matches!(self.slots[sequence as usize], Slot::Live(_))
    }

    fn is_below(&self, node: NodeIndex, ancestor: NodeIndex) -> bool {
        let mut cursor = Some(node);
        while let Some(index) = cursor {
            if index == ancestor {
                return true;
            }
            cursor = self.node(index).parent;
        }
        false
    }

    /// Whether another path spells the same tokens as the path that ends with `tip`.
    fn duplicated(&self, tip: NodeIndex) -> bool {
        let mut runs = Vec::new();
        let mut cursor = tip;
        while let Some(parent) = self.node(cursor).parent {
            runs.push(cursor);
            cursor = parent;
        }
        let mut tokens = Vec::with_capacity(self.node(tip).end() as usize);
        for run in runs.iter().rev() {
            tokens.extend_from_slice(&self.node(*run).tokens);
        }
        let mut open = vec![cursor];
        while let Some(index) = open.pop() {
            let node = self.node(index);
            let rest = &tokens[node.start as usize..];
            let common = common_prefix(&node.tokens, rest);
            if common == rest.len()
                && index != tip
                && (self.cuts_anywhere || node.tokens.len() == common)
            {
                return true;
            }
            if common == node.tokens.len() {
                open.extend(node.children.iter().copied().filter(|child| *child != tip));
            }
        }
        false
    }

    fn any_holder(&self, node: NodeIndex) -> SequenceId {
        let mut cursor = node;
        loop {
            let node = self.node(cursor);
            if let Some(&sequence) = node.tips.first() {
                return sequence;
            }
            cursor = *node
                .children
                .first()
                .expect("invariant 2: every node is held");
        }
    }

    /// Splits a node so that one ends at position `at`; returns the upper part.
    fn split(&mut self, index: NodeIndex, at: u32) -> NodeIndex {
        let node = self.node_mut(index);
        assert!(node.start < at && at < node.end(), "split inside the run");
        let lower = node.tokens.split_off((at - node.start) as usize);
        let (parent, start, last_used) = (node.parent, node.start, node.last_used);
        let run = std::mem::replace(&mut node.tokens, lower);
        node.start = at;
        let upper = self.insert(Node {
            parent,
            start,
            tokens: run,
            children: vec![index],
            tips: Vec::new(),
            last_used,
            salt: None,
        });
        self.node_mut(index).parent = Some(upper);
        if let Some(parent) = parent {
            for child in &mut self.node_mut(parent).children {
                if *child == index {
                    *child = upper;
                }
            }
        }
        upper
    }

    /// Removes nodes that nobody holds, from `index` upwards.
    fn prune(&mut self, index: NodeIndex) {
        let mut cursor = Some(index);
        while let Some(index) = cursor {
            let node = self.node(index);
            if !node.tips.is_empty() || !node.children.is_empty() {
                return;
            }
            let Some(node) = self.nodes[index].take() else {
                return;
            };
            self.vacant.push(index);
            self.cells_used -= count(&node.tokens);
            if let Some(salt) = node.salt {
                self.roots.remove(&salt);
            }
            if let Some(parent) = node.parent {
                self.node_mut(parent)
                    .children
                    .retain(|child| *child != index);
            }
            cursor = node.parent;
        }
    }

    fn touch(&mut self, node: NodeIndex) {
        self.uses += 1;
        let uses = self.uses;
        let mut cursor = Some(node);
        while let Some(index) = cursor {
            let node = self.node_mut(index);
            node.last_used = uses;
            cursor = node.parent;
        }
    }

    fn insert(&mut self, node: Node) -> NodeIndex {
        if let Some(index) = self.vacant.pop() {
            self.nodes[index] = Some(node);
            return index;
        }
        self.nodes.push(Some(node));
        self.nodes.len() - 1
    }

    fn node(&self, index: NodeIndex) -> &Node {
        self.nodes[index].as_ref().expect("node exists")
    }

    fn node_mut(&mut self, index: NodeIndex) -> &mut Node {
        self.nodes[index].as_mut().expect("node exists")
    }

    /// Asserts the invariants of the module; for tests and debug builds.
    ///
    /// # Panics
    /// When one is broken.
    pub fn assert_invariants(&self) {
        let mut cells = 0;
        let mut reached = 0;
        for (salt, root) in &self.roots {
            assert_eq!(self.node(*root).salt.as_ref(), Some(salt));
            let mut open = vec![*root];
            while let Some(index) = open.pop() {
                reached += 1;
                let node = self.node(index);
                cells += count(&node.tokens);
                assert!(
                    !node.tips.is_empty() || !node.children.is_empty(),
                    "3: held"
                );
                assert_eq!(node.tokens.is_empty(), node.parent.is_none(), "3: runs");
                for tip in &node.tips {
                    assert_eq!(self.slots[*tip as usize].node(), Some(index));
                }
                for child in &node.children {
                    assert_eq!(self.node(*child).parent, Some(index));
                    assert_eq!(self.node(*child).start, node.end());
                    open.push(*child);
                }
            }
        }
        assert_eq!(cells, self.cells_used, "1: cells");
        assert_eq!(reached, self.nodes.iter().flatten().count(), "4: one salt");
        let held = self.slots.iter().filter_map(|slot| slot.node()).count();
        let tips: usize = self
            .nodes
            .iter()
            .flatten()
            .map(|node| node.tips.len())
            .sum();
        assert_eq!(held, tips, "2: tips");
    }
}
