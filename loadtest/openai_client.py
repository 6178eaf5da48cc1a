"""The official `openai` client, unmodified, against a running Penstock.

    loadtest/live.sh epoll python3 loadtest/openai_client.py

It finds the proxy in OPENAI_BASE_URL, and expects the simulator and the routes of
`live.sh` behind it. Each check is a function that fails by an assertion or by an
exception that the client raises; all run, and the exit code says whether all passed.
"""

import asyncio
import sys
import time

import openai

from checks import named, run

SMALL = "simulator-small"
LARGE = "simulator-large"
PROMPT = [{"role": "user", "content": "How does a penstock work?"}]
STREAMS = 20

# Retries would hide what the first answer was.
client = openai.OpenAI(max_retries=0, timeout=20)


def chat(**options):
    """A chat completion of the small model, unless the options say otherwise."""
    return client.chat.completions.create(
        **{"model": SMALL, "messages": PROMPT, **options}
    )


def raised(expected, call):
    """The error that a call raises, which must be of the expected type."""
    try:
        answer = call()
    except openai.OpenAIError as error:
        found = type(error).__name__
        assert isinstance(error, expected), f"{found}, not {expected.__name__}: {error}"
        return error
    raise AssertionError(f"no {expected.__name__} but an answer: {answer}")


def chat_is_answered():
    answer = chat()
    choice = answer.choices[0]
    assert answer.model == SMALL, f"the model is {answer.model}"
    assert choice.message.role == "assistant", f"the role is {choice.message.role}"
    assert choice.finish_reason in ("stop", "length"), f"{choice.finish_reason}"
    words = len(choice.message.content.split())
    assert words == answer.usage.completion_tokens, f"{words} words, {answer.usage}"


def the_model_is_renamed_on_its_way():
    answer = chat(model="gpt-anything")
    assert answer.model == LARGE, f"{answer.model} answered, not the route's {LARGE}"


def a_long_prompt_arrives_whole():
    words = 200_000
    answer = chat(messages=[{"role": "user", "content": "word " * words}])
    assert answer.usage.prompt_tokens == words, f"{answer.usage} of {words} words"


def a_stream_arrives_as_it_is_written():
    times, deltas = [], []
    for chunk in chat(stream=True):
        times.append(time.monotonic())
        deltas += [choice.delta.content or "" for choice in chunk.choices]
    assert len(times) > 10, f"only {len(times)} chunks"
    spread = times[-1] - times[0]
    # 32 tokens with 5 ms between them; a proxy that buffers delivers them at once.
    assert spread > 0.05, f"all chunks came within {spread * 1000:.1f} ms"
    assert "".join(deltas).strip(), "the stream carries no text"


def a_stream_ends_with_its_usage():
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    last = chunks[-1]
    assert last.usage is not None and not last.choices, f"the last chunk is {last}"
    tokens = sum(1 for c in chunks for choice in c.choices if choice.delta.content)
    assert tokens == last.usage.completion_tokens, f"{tokens} tokens, {last.usage}"


def a_cut_stream_is_not_taken_for_a_whole_one():
    stream = chat(stream=True, extra_headers={"x-simulate": "cut; after=3"})
    seen = 0
    try:
        for _ in stream:
            seen += 1
    except openai.APIError as error:
        assert error.code == "upstream_failed", f"{error.code}: {error}"
        assert seen >= 3, f"only {seen} chunks before the cut at the third"
        return
    raise AssertionError(f"a stream cut after 3 tokens ended well after {seen} chunks")


def a_client_that_leaves_a_stream_can_go_on():
    with chat(stream=True) as stream:
        next(iter(stream))
    assert chat().choices, "no answer after a stream that was left"


def embeddings_are_answered():
    answer = client.embeddings.create(model=SMALL, input=["one", "two"])
    lengths = [len(item.embedding) for item in answer.data]
    assert len(lengths) == 2 and lengths[0] == lengths[1] > 0, f"lengths {lengths}"
    assert answer.data[0].embedding != answer.data[1].embedding, "both are the same"


def models_are_listed():
    names = [model.id for model in client.models.list()]
    assert names == [SMALL, LARGE], f"the models are {names}"
    assert client.models.retrieve(LARGE).id == LARGE, "retrieved another model"


def a_name_with_a_slash_reaches_the_server():
    error = raised(openai.NotFoundError, lambda: client.models.retrieve("org/name"))
    assert error.code == "model_not_found", f"{error.code}: {error}"


def concurrent_streams_do_not_mix():
    async def one(patient, number):
        # The simulator's words depend on the request's body alone.
        messages = [{"role": "user", "content": f"stream {number}"}]
        options = {"model": SMALL, "messages": messages}
        stream = await patient.chat.completions.create(**options, stream=True)
        text = [c.choices[0].delta.content or "" async for c in stream if c.choices]
        return "".join(text)

    async def all_at_once():
        async with openai.AsyncOpenAI(max_retries=0, timeout=20) as patient:
            first = await asyncio.gather(*(one(patient, n) for n in range(STREAMS)))
            again = [await one(patient, n) for n in range(STREAMS)]
        return first, again

    first, again = asyncio.run(all_at_once())
    assert len(set(first)) == STREAMS, f"{len(set(first))} of {STREAMS} differ"
    assert first == again, "streams at once and one by one say different things"


def a_path_without_a_route_is_not_found():
    error = raised(openai.NotFoundError, client.files.list)
    assert error.code == "no_route", f"{error.code}: {error}"
    assert error.type == "invalid_request_error", f"{error.type}: {error}"


def a_model_that_is_no_name_is_a_bad_request():
    error = raised(openai.BadRequestError, lambda: chat(model=7))
    assert error.code == "invalid_json", f"{error.code}: {error}"


def an_upstreams_rate_limit_is_passed_on():
    headers = {"x-simulate": "429; retry-after=7"}
    error = raised(openai.RateLimitError, lambda: chat(extra_headers=headers))
    wait = error.response.headers.get("retry-after")
    assert wait == "7", f"the answer says to wait {wait}"


def an_upstreams_failure_is_passed_on():
    headers = {"x-simulate": "503"}
    error = raised(openai.InternalServerError, lambda: chat(extra_headers=headers))
    assert error.status_code == 503, f"status {error.status_code}"


def an_upstream_that_is_down_is_a_bad_gateway():
    headers = {"x-test-route": "down"}
    error = raised(openai.InternalServerError, lambda: chat(extra_headers=headers))
    assert error.status_code == 502, f"status {error.status_code}"
    assert error.code == "upstream_failed", f"{error.code}: {error}"


def a_failed_stream_is_an_error_before_it_begins():
    headers = {"x-test-route": "down"}
    options = {"stream": True, "extra_headers": headers}
    error = raised(openai.InternalServerError, lambda: chat(**options))
    assert error.status_code == 502, f"status {error.status_code}"


CHECKS = [
    chat_is_answered,
    the_model_is_renamed_on_its_way,
    a_long_prompt_arrives_whole,
    a_stream_arrives_as_it_is_written,
    a_stream_ends_with_its_usage,
    a_cut_stream_is_not_taken_for_a_whole_one,
    a_client_that_leaves_a_stream_can_go_on,
    embeddings_are_answered,
    models_are_listed,
    a_name_with_a_slash_reaches_the_server,
    concurrent_streams_do_not_mix,
    a_path_without_a_route_is_not_found,
    a_model_that_is_no_name_is_a_bad_request,
    an_upstreams_rate_limit_is_passed_on,
    an_upstreams_failure_is_passed_on,
    an_upstream_that_is_down_is_a_bad_gateway,
    a_failed_stream_is_an_error_before_it_begins,
]


if __name__ == "__main__":
    sys.exit(run(named(CHECKS), f"openai {openai.__version__}"))
