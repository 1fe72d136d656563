//! The start order of plugins, from what each provides, requires and uses. Pure; it loads and starts nothing,
//! and knows no capability by name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use streamgate_plugin_api::Manifest;

use crate::{Problem, Sources, suggest};

/// The part of a manifest that the order depends on.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Capabilities that it provides.
    pub provides: Vec<String>,
    /// Capabilities without which it does not start.
    pub requires: Vec<String>,
    /// Capabilities that it starts after, if a plugin provides them.
    pub uses: Vec<String>,
    /// Whether it accepts requests from outside: it starts last and stops first.
    pub ingress: bool,
}

impl From<&Manifest> for Node {
    fn from(manifest: &Manifest) -> Self {
        Self {
            // A public prefix has one owner, like a capability.
            provides: manifest.provides.iter().chain(&manifest.prefixes).cloned().collect(),
            requires: manifest.requires.clone(),
            uses: manifest.uses.clone(),
            ingress: manifest.ingress,
        }
    }
}

/// The edges between nodes, by index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// Those that must have started or failed before this one starts; it stops before they do.
    pub after: Vec<BTreeSet<usize>>,
    /// Those without which this one does not start; a subset of `after`.
    pub needs: Vec<BTreeSet<usize>>,
}

/// Why there is no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphError {
    /// `second` provides what `first` provides already.
    Duplicate {
        /// The capability of both.
        capability: String,
        /// The earlier one.
        first: usize,
        /// The later one.
        second: usize,
    },
    /// No plugin provides what `node` requires.
    Missing {
        /// The requiring plugin.
        node: usize,
        /// The required capability.
        capability: String,
    },
    /// Each requires the next, and the last the first.
    Cycle(Vec<usize>),
}

impl Graph {
    /// Finds the edges, or all errors.
    pub fn resolve(nodes: &[Node]) -> Result<Self, Vec<GraphError>> {
        let mut errors = Vec::new();
        let mut providers = BTreeMap::new();
        for (second, node) in nodes.iter().enumerate() {
            for capability in &node.provides {
                if let Some(first) = providers.insert(capability.as_str(), second) {
                    providers.insert(capability, first);
                    errors.push(GraphError::Duplicate { capability: capability.clone(), first, second });
                }
            }
        }
        let mut graph = Self { after: vec![BTreeSet::new(); nodes.len()], ..Self::default() };
        for (index, node) in nodes.iter().enumerate() {
            for capability in &node.requires {
                match providers.get(capability.as_str()) {
                    Some(&provider) => _ = graph.after[index].insert(provider),
                    None => {
                        errors.push(GraphError::Missing { node: index, capability: capability.clone() });
                    }
                }
            }
        }
        graph.needs = graph.after.clone();
        errors.extend(graph.cycles().into_iter().map(GraphError::Cycle));
        if !errors.is_empty() {
            return Err(errors);
        }
        // Optional edges: one that would close a cycle is dropped.
        for (index, node) in nodes.iter().enumerate() {
            for capability in &node.uses {
                // An ingress starts last, even if other plugins use its capabilities.
                let provider = providers.get(capability.as_str());
                if let Some(&provider) = provider.filter(|&&it| node.ingress || !nodes[it].ingress) {
                    graph.wish(index, provider);
                }
            }
        }
        for ingress in (0..nodes.len()).filter(|&index| nodes[index].ingress) {
            for other in (0..nodes.len()).filter(|&index| !nodes[index].ingress) {
                graph.wish(ingress, other);
            }
        }
        Ok(graph)
    }

    /// Indices in an order in which each comes after all that it depends on.
    pub fn order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.after.len());
        let mut placed = BTreeSet::new();
        while let Some(next) =
            (0..self.after.len()).find(|i| !placed.contains(i) && self.after[*i].is_subset(&placed))
        {
            placed.insert(next);
            order.push(next);
        }
        order
    }

    /// All that this one requires, directly or indirectly.
    pub fn needs_of(&self, index: usize) -> BTreeSet<usize> {
        reach(&self.needs, index)
    }

    fn wish(&mut self, index: usize, provider: usize) {
        if index != provider && !reach(&self.after, provider).contains(&index) {
            self.after[index].insert(provider);
        }
    }

    /// One cycle for each group of them: the shortest path from a node back to itself.
    fn cycles(&self) -> Vec<Vec<usize>> {
        let mut cycles = Vec::new();
        let mut seen = BTreeSet::<usize>::new();
        for start in 0..self.needs.len() {
            let knot = reach(&self.needs, start);
            if seen.contains(&start) || !knot.contains(&start) {
                continue;
            }
            seen.extend(knot.iter().filter(|&&other| reach(&self.needs, other).contains(&start)));
            let mut ways = VecDeque::from([vec![start]]);
            let mut visited = BTreeSet::new();
            while let Some(way) = ways.pop_front() {
                let last = way[way.len() - 1];
                if self.needs[last].contains(&start) {
                    cycles.push(way);
                    break;
                }
                let fresh = self.needs[last].iter().filter(|&&next| visited.insert(next));
                ways.extend(fresh.map(|&next| [&way[..], &[next]].concat()));
            }
        }
        cycles
    }
}

impl GraphError {
    /// The error as text, at the table of the plugin concerned. `names` are those of the `nodes`; `on_disk`
    /// finds a plugin that would provide a capability if it were enabled.
    pub fn problem(
        &self,
        sources: &Sources,
        names: &[&str],
        nodes: &[Node],
        on_disk: impl Fn(&str) -> Option<String>,
    ) -> Problem {
        let (index, message) = match self {
            Self::Duplicate { capability, first, second } => {
                let first = names[*first];
                let mend = "disable one of them with enabled = false";
                (*second, format!("provides `{capability}`, and so does `{first}`; {mend}"))
            }
            Self::Missing { node, capability } => {
                let known = nodes.iter().flat_map(|node| &node.provides).map(String::as_str);
                let hint = match on_disk(capability) {
                    Some(provider) => format!("; add [plugins.{provider}], or enable it"),
                    None => suggest(capability, known.filter(|name| !name.starts_with('/')), "capabilities"),
                };
                let missing =
                    format!("requires the capability `{capability}`, which no enabled plugin provides");
                (*node, format!("{missing}{hint}"))
            }
            Self::Cycle(cycle) => {
                let next = |at: usize| names[cycle[(at + 1) % cycle.len()]];
                let chain: Vec<_> = (0..cycle.len()).map(|at| format!("requires `{}`", next(at))).collect();
                let chain = chain.join(", which ");
                (cycle[0], format!("is part of a cycle: {chain}; none of them can start first"))
            }
        };
        sources.plugin_problem(names[index], None, message)
    }
}

fn reach(edges: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        open.extend(edges[node].iter().filter(|&&next| found.insert(next)));
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(provides: &[&str], requires: &[&str], uses: &[&str]) -> Node {
        let own = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        Node { provides: own(provides), requires: own(requires), uses: own(uses), ingress: false }
    }

    #[test]
    fn a_plugin_that_uses_an_ingress_still_starts_before_it() {
        let mut nodes = [node(&["judge"], &[], &["ingress"]), node(&["ingress"], &[], &["judge"])];
        nodes[1].ingress = true;
        assert_eq!(Graph::resolve(&nodes).unwrap().order(), [0, 1]);
    }

    #[test]
    fn an_ingress_comes_after_everything_that_does_not_need_it() {
        let mut nodes = vec![node(&["in"], &[], &[]), node(&["a"], &[], &[]), node(&[], &["in"], &[])];
        nodes[0].ingress = true;
        let graph = Graph::resolve(&nodes).unwrap();
        assert_eq!(graph.order(), [1, 0, 2]);
        assert!(graph.needs[0].is_empty());
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let nodes = [
            node(&["a"], &["b"], &[]),
            node(&["b"], &["a", "ghost"], &[]),
            node(&["b"], &[], &[]),
            node(&["self"], &["self"], &[]),
        ];
        assert_eq!(
            Graph::resolve(&nodes).unwrap_err(),
            [
                GraphError::Duplicate { capability: "b".into(), first: 1, second: 2 },
                GraphError::Missing { node: 1, capability: "ghost".into() },
                GraphError::Cycle(vec![0, 1]),
                GraphError::Cycle(vec![3]),
            ]
        );
    }

    #[test]
    fn a_wish_that_would_close_a_circle_gives_way() {
        let graph = Graph::resolve(&[node(&["a"], &["b"], &[]), node(&["b"], &[], &["a"])]).unwrap();
        assert_eq!(graph.order(), [1, 0]);
    }

    proptest! {
        #[test]
        fn an_order_places_all_after_what_they_wait_for_or_a_real_circle_is_named(
            edges in prop::collection::vec((0usize..8, 0usize..8, any::<bool>()), 0..24),
            ingress in prop::collection::vec(any::<bool>(), 8),
        ) {
            let mut nodes: Vec<_> = (0..8).map(|i| node(&[&i.to_string()], &[], &[])).collect();
            for (from, to, hard) in edges {
                let list = if hard { &mut nodes[from].requires } else { &mut nodes[from].uses };
                list.push(to.to_string());
            }
            for (node, ingress) in nodes.iter_mut().zip(ingress) {
                node.ingress = ingress;
            }
            match Graph::resolve(&nodes) {
                Ok(graph) => {
                    let order = graph.order();
                    prop_assert_eq!(order.len(), nodes.len());
                    for (index, node) in nodes.iter().enumerate() {
                        let place = |i: usize| order.iter().position(|&o| o == i).unwrap();
                        prop_assert!(graph.needs[index].is_subset(&graph.after[index]));
                        for required in &node.requires {
                            prop_assert!(place(required.parse().unwrap()) < place(index));
                        }
                    }
                }
                Err(errors) => for error in errors {
                    let GraphError::Cycle(cycle) = error else { panic!("{error:?}") };
                    for (at, node) in cycle.iter().enumerate() {
                        let next = cycle[(at + 1) % cycle.len()].to_string();
                        prop_assert!(nodes[*node].requires.contains(&next));
                    }
                },
            }
        }
    }
}
