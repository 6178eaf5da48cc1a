"""The official `openai` client, unmodified, before a pair of servers of which one fails.

    LIVE_CONFIG=loadtest/live-failover.yaml LIVE_FAULTS='cut;after=0=0.5,stall;at=first=0.25,503=0.25' \\
        loadtest/live.sh epoll python3 loadtest/failover.py

The faulty one begins its streams with a role, and breaks or falls silent before the first
token. The client must see whole answers of the good one and nothing else; what breaks
after the first token it must raise as its own exception.
"""

import os
import sys
import urllib.request

import openai

from checks import named, run

PROMPT = [{"role": "user", "content": "How does a penstock work?"}]
ROUNDS = 30

# Retries of its own would hide what the first answer was.
client = openai.OpenAI(max_retries=0, timeout=20)


def chat(**options):
    """A chat completion, as the client has it before it is parsed."""
    completions = client.chat.completions.with_raw_response
    return completions.create(**{"model": "simulator-small", "messages": PROMPT, **options})


def streams_come_whole_from_the_good_one():
    for number in range(ROUNDS):
        answer = chat(stream=True)
        served = answer.headers.get("x-upstream-name")
        assert served == "simulator", f"stream {number} came from {served}"
        chunks = list(answer.parse())
        ids = {chunk.id for chunk in chunks}
        assert len(ids) == 1, f"stream {number} is made of {ids}"
        choices = [choice for chunk in chunks for choice in chunk.choices]
        roles = sum(1 for choice in choices if choice.delta.role)
        assert roles == 1, f"stream {number} begins {roles} times"
        assert choices[-1].finish_reason, f"stream {number} has no end"
        assert any(choice.delta.content for choice in choices), f"stream {number} is empty"


def whole_answers_come_from_the_good_one():
    for number in range(ROUNDS):
        answer = chat()
        served = answer.headers.get("x-upstream-name")
        assert served == "simulator", f"answer {number} came from {served}"
        assert answer.parse().choices[0].message.content, f"answer {number} is empty"


def a_stream_that_breaks_later_is_raised():
    # Both servers obey the header.
    stream = chat(stream=True, extra_headers={"x-simulate": "cut; after=5"}).parse()
    text = []
    try:
        for chunk in stream:
            text += [choice.delta.content or "" for choice in chunk.choices]
    except openai.APIError as error:
        assert error.code == "upstream_failed", f"{error.code}: {error}"
        assert len([piece for piece in text if piece]) == 5, f"tokens are lost: {text}"
        return
    raise AssertionError(f"a stream cut after 5 tokens ended well: {text}")


def attempts_failed_and_were_made_again():
    with urllib.request.urlopen(os.environ["ADMIN_URL"] + "/metrics", timeout=20) as page:
        lines = page.read().decode().splitlines()
    wanted = 'penstock_upstream_retries_total{result="made"'
    made = sum(float(line.split()[-1]) for line in lines if line.startswith(wanted))
    # The two take turns, so that about every other request met the faulty one first.
    assert made >= ROUNDS / 2, f"only {made:.0f} retries: did the faulty one get its turn?"


CHECKS = [
    streams_come_whole_from_the_good_one,
    whole_answers_come_from_the_good_one,
    a_stream_that_breaks_later_is_raised,
    attempts_failed_and_were_made_again,
]


if __name__ == "__main__":
    sys.exit(run(named(CHECKS), f"openai {openai.__version__}"))
