"""Chat requests as clients send them, the same in every run.

A body is JSON with several messages in turn: prose in three languages, code, lists, a
table, quotations. So it has what scanners stop at (quotes, backslashes, line ends,
characters of several bytes), about as often as real prompts do. The model comes after the
messages, which is where OpenAI's Python client puts it, and the headers are that
client's.
"""

import json
import random

# How many different bodies take turns.
TURNS = 16

HEADERS = {
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
    "content-type": "application/json",
    "user-agent": "OpenAI/Python 2.8.0",
    "x-stainless-arch": "x64",
    "x-stainless-async": "false",
    "x-stainless-lang": "python",
    "x-stainless-os": "Linux",
    "x-stainless-package-version": "2.8.0",
    "x-stainless-retry-count": "0",
    "x-stainless-runtime": "CPython",
    "x-stainless-runtime-version": "3.13.1",
}

SYSTEM = "You are a helpful assistant of a logistics company. Answer briefly, and say so when you don't know."

PIECES = [
    "Could you tell me why the delivery to the warehouse in Rotterdam was moved to Thursday?",
    "The customer wrote: \"I ordered three of them, and only two arrived.\" Please draft an answer.",
    "We compared both offers last week; the second one is cheaper by 12.5 % but takes nine days longer.",
    "Summarise the following in two sentences, and keep the names of all people as they are.",
    "It rained for most of the afternoon, so the cranes stood still and nobody was surprised by the delay.",
    "Here is what I tried:\n\n```python\nrows = [line.split(\"\\t\") for line in open(path)]\n"
    "total = sum(float(row[3]) for row in rows if row[0] != \"#\")\nprint(f\"{total:.2f}\")\n```\n",
    "The query that takes so long is\n\n```sql\nSELECT depot, count(*) FROM parcels WHERE sent >= '2025-03-01' "
    "GROUP BY depot ORDER BY 2 DESC;\n```\n",
    "1. Check the label.\n2. Scan the code at the gate.\n3. Tell the driver which ramp is free.\n",
    "| depot | parcels | late |\n|---|---|---|\n| Köln | 18,204 | 311 |\n| Łódź | 9,877 | 96 |\n",
    "Die Lieferung verzögert sich um zwei Tage, weil die Straße über den Paß gesperrt ist.",
    "Le colis est arrivé abîmé à l'entrepôt ; le client préfère être remboursé.",
    "お問い合わせの荷物は、明日の午前中にお届けする予定です。",
    "See https://example.com/tracking?id=8841&lang=en for the details, or C:\\Depot\\2025\\march.csv on the share.",
    "He said that he didn't know, she said that she'd ask, and that's where we left it on Friday evening.",
    "Thank you, that helps. One more question: what happens when the address is incomplete?",
    "Temperatures between -4 and +7 degrees are fine for this kind of goods, anything above is not.",
]

FILLER = ("And please explain it step by step, so that somebody who joined the team this week can follow it "
          "without asking anybody else for help. ")


def chat(model, size, seed, **fields):
    """The body of a chat request, of `size` bytes."""
    draw = random.Random(seed)
    count = 4 + size // 4096
    share = (size - 400) // count
    messages = [{"role": "system", "content": SYSTEM}]
    for n in range(count):
        messages.append({"role": "assistant" if n % 2 else "user", "content": _text(draw, share)})
    messages.append({"role": "user", "content": ""})
    body = {"messages": messages, "model": model, "max_tokens": 512, "temperature": 0.7,
            "user": f"user-{draw.randrange(10_000):04}", **fields}
    missing = size - len(_bytes(body))
    messages[-1]["content"] = (FILLER * (missing // len(FILLER) + 1))[:missing]
    made = _bytes(body)
    assert len(made) == size, f"{len(made)} bytes cannot be made {size}"
    return made


def _text(draw, share):
    """Pieces that take at most `share` bytes in JSON."""
    text = ""
    for piece in draw.sample(PIECES, len(PIECES)) * (share // 512 + 1):
        longer = f"{text} {piece}".strip()
        if len(_bytes(longer)) <= share:
            text = longer
    return text


def _bytes(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
