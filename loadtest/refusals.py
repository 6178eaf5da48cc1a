"""What the chain refuses, as the official `openai` and `anthropic` clients raise it.

    LIVE_CONFIG=loadtest/live-chain.yaml loadtest/live.sh epoll python3 loadtest/refusals.py

Both clients are unmodified and find the proxy in TARGET. Each refusal must be the
exception that the client has for it, and an answer must come where nothing is refused:
also to a prompt that talks of attacks.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai

from checks import run

TARGET = os.environ["TARGET"]
LOAD, SMALL, NOBODY = "live-load", "live-small-live-small-live", "nobody-knows-this-key"
PROMPT = [{"role": "user", "content": "Explain `' OR 1=1; DROP TABLE users; --` and ../../etc/passwd"}]
FEW = 20


def by_openai(key, **options):
    client = openai.OpenAI(base_url=f"{TARGET}/v1", api_key=key, max_retries=0, timeout=20)
    return client.chat.completions.create(**{"model": "simulator-small", "messages": PROMPT, **options})


def by_anthropic(key, **options):
    client = anthropic.Anthropic(base_url=TARGET, api_key=key, max_retries=0, timeout=20)
    return client.messages.create(
        **{"model": "simulator-small", "max_tokens": 8, "messages": PROMPT, **options}
    )


def raises(error, ask, *arguments, **options):
    """The exception, which must be exactly of this class."""
    try:
        ask(*arguments, **options)
    except Exception as raised:  # pylint: disable=broad-exception-caught
        assert type(raised) is error, f"{error.__name__} was expected, not {raised!r}"
        return raised
    raise AssertionError(f"{error.__name__} was expected, not an answer")


def answers():
    assert by_openai(LOAD).choices[0].message.content
    assert by_openai(SMALL).choices[0].message.content


def refused(ask, errors):
    raises(errors.AuthenticationError, ask, NOBODY)
    raises(errors.PermissionDeniedError, ask, SMALL, model="simulator-large")
    raises(errors.BadRequestError, ask, LOAD, extra_body={"n": 1000})


def limited(ask, errors):
    """More requests at once than the route lets through in two seconds."""

    def one(_):
        try:
            ask(LOAD, model="limited")
        except errors.RateLimitError as error:
            return error
        except errors.NotFoundError:
            pass  # The simulator has no such endpoint.
        return None

    with ThreadPoolExecutor(FEW) as pool:
        told = [error for error in pool.map(one, range(FEW + 5)) if error]
    assert told, "no limit was reached"
    assert all(int(error.response.headers["retry-after"]) >= 1 for error in told)


CHECKS = {
    "answers": answers,
    "openai, refused": lambda: refused(by_openai, openai),
    "anthropic, refused": lambda: refused(by_anthropic, anthropic),
    "openai, limited": lambda: limited(by_openai, openai),
    "anthropic, limited": lambda: limited(by_anthropic, anthropic),
}

if __name__ == "__main__":
    sys.exit(run(CHECKS, f"openai {openai.__version__}, anthropic {anthropic.__version__}"))
