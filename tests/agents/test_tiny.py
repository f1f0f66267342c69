import pytest
import torch

from palaestra.agents import models
from palaestra.agents.render import Renderer
from palaestra.agents.tiny import CONTROL, env_texts, save, tiny, tokenizer
from palaestra.errors import EngineError

TEXTS = ["You are player_0. Your card is J.", "[bet]", "[check]", "Price 1234, or 12."] * 3


def test_every_byte_has_a_token_and_no_text_is_unknown():
    words = tokenizer(TEXTS)
    core = words.backend_tokenizer
    for text in ["", " two  spaces ", "ünïcödé 日本 \U0001f600", "\x00\t\r\n", "<|end|", "player_0"]:
        assert core.decode(core.encode(text, add_special_tokens=False).ids) == text
    everything = "".join(map(chr, range(0x20, 0x250)))
    assert core.decode(core.encode(everything, add_special_tokens=False).ids) == everything


def test_frequent_words_are_one_token_and_digits_stand_alone():
    core = tokenizer(TEXTS).backend_tokenizer
    assert core.encode("[bet]", add_special_tokens=False).tokens == ["[", "bet", "]"]
    tokens = core.encode("Price 1234", add_special_tokens=False).tokens
    assert tokens[-4:] == ["1", "2", "3", "4"]


def test_the_vocabulary_is_bounded_and_begins_with_the_control_tokens():
    words = tokenizer(TEXTS, vocab=270)
    assert len(words) == 270
    assert [words.convert_tokens_to_ids(c) for c in CONTROL] == list(range(len(CONTROL)))


def test_tokenizer_is_the_same_every_time():
    assert tokenizer(TEXTS).backend_tokenizer.to_str() == tokenizer(TEXTS).backend_tokenizer.to_str()


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_tiny_model_is_untied_wide_at_birth_and_fixed_by_its_seed(kind):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    model, words = tiny(TEXTS, kind=kind, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert 0.1e6 < model.num_parameters() < 2e6 and model.dtype == torch.float32 and not model.training
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert embedding is not head and embedding.shape == (len(words), 64)
    assert 0.08 < head.std().item() < 0.12
    again, other = tiny(TEXTS, kind=kind, seed=3).model, tiny(TEXTS, kind=kind, seed=4).model
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not torch.equal(head, other.get_output_embeddings().weight)


def test_words_of_an_environment_are_what_was_told_and_said():
    texts = env_texts("kuhn", n=20, seed=5)
    assert "[bet]" in texts and "You are player_0. Your card is K." in texts
    assert texts == env_texts("kuhn", n=20, seed=5) != env_texts("kuhn", n=20, seed=6)


def test_saved_tiny_model_renders_and_computes_as_before(tmp_path):
    model, words = tiny(TEXTS)
    save(model, words, tmp_path)
    again, loaded = models.load(tmp_path)
    messages = [{"role": "user", "content": "Your card is J <|end|> 日本"}]
    ids = Renderer(words).start(messages)
    assert Renderer(loaded).start(messages) == ids
    assert torch.equal(model(torch.tensor([ids])).logits, again(torch.tensor([ids])).logits)


def test_a_model_with_its_own_template_in_bfloat16_is_loaded_from_the_hubs_format(tmp_path):
    model, words = tiny(TEXTS, kind="qwen3", width=32)
    words.chat_template = "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}<|assistant|>"
    save(model.bfloat16(), words, tmp_path)
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {
        p.name for p in tmp_path.iterdir()
    }
    again, loaded = models.load(str(tmp_path))
    assert again.dtype == torch.bfloat16 and not again.training
    assert loaded.chat_template == words.chat_template
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert models.load(tmp_path, "float32").model.dtype == torch.float32
    assert models.load(tmp_path, torch.float32, attention="eager").model.config._attn_implementation == "eager"


def test_a_missing_model_or_dtype_is_named(tmp_path):
    with pytest.raises(EngineError, match="cannot be loaded"):
        models.load(tmp_path / "nothing", local_only=True)
    with pytest.raises(EngineError, match="'float99' is no torch dtype"):
        models.load(tmp_path, "float99")
