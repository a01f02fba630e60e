"""A corpus with judgements that everybody can build: the docstrings of Python's standard library.

Every docstring that has a summary line, an empty line and a body gives one query and one document: the summary is asked, the body is
to be found. Names and signatures are in neither, so nothing is found by a name. A query's answers are all documents that any docstring with
the same summary has, which judges duplicates alike. The choice of queries is drawn by a seed from all of them; nothing else is chosen.
"""
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import random
import re
import sys
import warnings

BODY_WORDS_MIN = 15
SUMMARY_WORDS_MIN = 4
# Modules that do something when they are imported, or need a screen.
LEFT_OUT = {"antigravity", "this", "idlelib", "lib2to3", "turtledemo", "tkinter", "turtle", "__main__"}


def objects(module, seen):
    """The module, and the classes, functions and methods that it defines."""
    stack = [module]
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if inspect.ismodule(one) or inspect.isclass(one):
            for name, member in sorted(vars(one).items()):
                if isinstance(member, (staticmethod, classmethod)):
                    member = member.__func__
                if isinstance(member, property):
                    member = member.fget
                if inspect.isclass(member) or inspect.isroutine(member):
                    if getattr(member, "__module__", module.__name__) in (module.__name__, None):
                        stack.append(member)


def names():
    """The modules of the standard library and those inside its packages, without tests."""
    for name in sorted(sys.stdlib_module_names):
        if name in LEFT_OUT or name.startswith("_"):
            continue
        yield name
        found = importlib.util.find_spec(name)
        for inner in pkgutil.walk_packages(found.submodule_search_locations or [], name + ".", onerror=lambda _: None) if found else []:
            if not re.search(r"(^|\.)(test|tests|_.*|idle.*|__main__)(\.|$)", inner.name):
                yield inner.name


def docstrings():
    seen = set()
    for name in names():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = importlib.import_module(name)
        except Exception:
            continue
        for one in objects(module, seen):
            text = getattr(one, "__doc__", None)
            if isinstance(text, str):
                yield inspect.cleandoc(text)


def build(count, seed):
    """Documents by id, queries by id, and for each query the ids of its answers."""
    documents, answers = {}, {}
    for text in docstrings():
        head, _, body = text.partition("\n\n")
        summary, body = re.sub(r"\s+", " ", head).strip(), body.strip()
        if len(summary.split()) < SUMMARY_WORDS_MIN or len(summary.split()) > 40 or len(body.split()) < BODY_WORDS_MIN:
            continue
        identity = hashlib.sha256(body.encode()).hexdigest()[:16]
        documents[identity] = body
        answers.setdefault(summary, set()).add(identity)
    queries = sorted(answers)
    random.Random(seed).shuffle(queries)
    return documents, {query: answers[query] for query in queries[:count]}
