"""Records what sentence-transformers makes of texts with all-MiniLM-L6-v2, for the test minilm.rs of tests/conformance.

    pip install sentence-transformers
    python tests/eval/embedding/record_minilm.py

Writes into .cache, beside the model:
    texts.json     200 sentences, then 2 examples and 1 query for each label of Banking77, as {"sentences", "index", "queries"}
    vectors.f32    float32 little endian [texts, 384], in this order, computed in float32 one by one
"""

import json

import torch
from sentence_transformers import SentenceTransformer

from minilm_model import CACHE, banking77, model_folder, sentences


def main() -> None:
    torch.set_num_threads(1)
    model = SentenceTransformer(str(model_folder()), device="cpu")
    index, queries = banking77(2, 1)
    texts = dict(sentences=sentences(200), index=index, queries=queries)
    flat = texts["sentences"] + [text for _, text in index + queries]
    vectors = model.encode(flat, batch_size=1, normalize_embeddings=False, show_progress_bar=False)
    (CACHE / "texts.json").write_text(json.dumps(texts, ensure_ascii=False) + "\n")
    (CACHE / "vectors.f32").write_bytes(vectors.astype("<f4").tobytes())
    print(f"{vectors.shape} vectors of {len(flat)} texts, at most {model.max_seq_length} tokens")


if __name__ == "__main__":
    main()
