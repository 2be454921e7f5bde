"""The table of public prices: that of genai-prices, without the package, and without a fetch."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from genai_prices import Usage, calc_price

from spindle.prices.book import PriceBook
from spindle.prices.rates import flat
from spindle_spi.admission import TokenUsage

ROOT = Path(__file__).resolve().parents[3]
BOOK = PriceBook()
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)

SOLD = [
    ("openai", "openai", "gpt-4o-mini"),
    ("openai", "openai", "gpt-5"),
    ("openai", "openai", "text-embedding-3-small"),
    ("openai", "openai", "gpt-4o-2024-08-06"),
    ("openai", "openai", "gpt-4o-20240806"),
    ("anthropic", "anthropic", "claude-sonnet-4-5-20250929"),
    ("anthropic", "anthropic", "claude-3-5-haiku-latest"),
    ("azure_openai", "azure", "gpt-4o"),
    ("openrouter", "openrouter", "openai/gpt-4o"),
    ("gemini", "google", "gemini-2.5-pro"),
    ("bedrock", "aws", "anthropic.claude-3-haiku-20240307-v1:0"),
]
USED = [
    TokenUsage(input_tokens=1000, output_tokens=200),
    TokenUsage(input_tokens=1000, output_tokens=200, cache_read_tokens=600),
    TokenUsage(input_tokens=250_000, output_tokens=10, cache_read_tokens=100_000),
]


@pytest.mark.requirement("003-chat-cost")
@pytest.mark.parametrize(("kind", "seller", "model"), SOLD)
@pytest.mark.parametrize("usage", USED)
def test_a_call_costs_what_the_package_says(
    kind: str, seller: str, model: str, usage: TokenUsage
) -> None:
    """Providers, names with dates, tiers and cached tokens, to the last digit that matters."""
    rates = BOOK.find(kind, (), model, NOW.date())
    assert rates is not None
    theirs = calc_price(
        Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens or None,
        ),
        model,
        provider_id=seller,
        genai_request_timestamp=NOW,
    )
    assert rates.cost(usage) == pytest.approx(float(theirs.total_price))
    assert rates.version == BOOK.version


def test_the_table_is_that_of_the_installed_package() -> None:
    """`python scripts/prices.py --write` makes it anew when the lock takes another edition."""
    subprocess.run([sys.executable, "scripts/prices.py", "--check"], cwd=ROOT, check=True)


def test_the_package_is_never_imported_and_nothing_is_fetched() -> None:
    """Looking a price up opens no socket, and costs none of the package's memory."""
    program = (
        "import sys\n"
        "def watch(event, arguments):\n"
        "    if event.startswith('socket.'): raise SystemExit(event)\n"
        "sys.addaudithook(watch)\n"
        "import spindle.accounting\n"
        "from spindle.prices.records import PRICES\n"
        "assert PRICES._book.find('openai', (), 'gpt-4o')\n"
        "assert 'genai_prices' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("kind", "urls", "model"),
    [
        ("mock", (), "gpt-4o"),
        ("ollama", ("http://127.0.0.1:11434",), "gpt-4o"),
        ("openai_compatible", (), "gpt-4o"),
        ("openai_compatible", ("http://127.0.0.1:8000/v1",), "gpt-4o"),
        ("openai", (), "nobody-sells-this"),
    ],
)
def test_what_nobody_sells_has_no_price(kind: str, urls: tuple[str, ...], model: str) -> None:
    """Somebody's own machines, the mock, and models the table does not have."""
    assert BOOK.find(kind, urls, model) is None


def test_a_compatible_provider_is_known_by_its_address() -> None:
    """The first base URL says whose prices hold."""
    urls = ("https://api.groq.com/openai/v1",)
    assert BOOK.find("openai_compatible", urls, "llama-3.3-70b-versatile") is not None


def test_a_price_begins_on_its_day() -> None:
    """What is not in force yet does not count."""
    before = BOOK.find("openrouter", (), "openai/gpt-4o", date(2026, 10, 18))
    after = BOOK.find("openrouter", (), "openai/gpt-4o", date(2026, 10, 19))
    assert before is not None
    assert after is not None
    assert (before.cache_read, after.cache_read) == (None, flat(1.25))
