"""Tiny checkpoints for a local Hub: the small tier's architectures and processors, random weights.

They stand under the tier's real ids. What they answer means nothing.
"""

import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
import torch
import transformers
from conftest import ROOT
from helpers import checkpoints
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

WORDS = "a an the of in on is are there how many what where two dog cat car park red yes no 1 2 ."


def word_pieces() -> transformers.BertTokenizer:
    """BERT's tokenizer, with BLIP's own token at the end, as on the Hub."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    words += [*"bcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz")]
    vocab = {word: i for i, word in enumerate(dict.fromkeys([*words, "[DEC]"]))}
    return transformers.BertTokenizer(vocab, additional_special_tokens=["[DEC]"])


def byte_pairs() -> transformers.CLIPTokenizer:
    """CLIP's tokenizer: letters, and the merges that spell the words of the example scenes."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    scenes, merges = (ROOT / "assets/images/toytown/metadata.jsonl").read_text("utf-8"), []
    for word in sorted(set(re.findall("[a-z]+", scenes.lower()))):
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts[:2] = ["".join(parts[:2])]
    words += ["".join(pair) for pair in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(words))}
    return transformers.CLIPTokenizer(vocab=vocab, merges=list(dict.fromkeys(merges)))


def blip(role: str) -> tuple:
    tokens = word_pieces()
    text = {
        "vocab_size": len(tokens),
        "hidden_size": 32,
        "encoder_hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "bos_token_id": tokens.convert_tokens_to_ids("[DEC]"),
        "eos_token_id": tokens.sep_token_id,
        "sep_token_id": tokens.sep_token_id,
        "pad_token_id": tokens.pad_token_id,
    }
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": 384, "patch_size": 16}
    config = transformers.BlipConfig(text_config=text, vision_config=vision)
    model = getattr(transformers, checkpoints.row(role, "small")["class"])(config)
    return model, transformers.BlipProcessor(BlipImageProcessorPil(), tokens)


def clip() -> tuple:
    tokens = byte_pairs()
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2}
    ends = {"bos_token_id": tokens.bos_token_id, "eos_token_id": tokens.eos_token_id}
    config = transformers.CLIPConfig(
        text_config=sizes | ends | {"vocab_size": len(tokens)},
        vision_config=sizes | {"image_size": 224, "patch_size": 32},
        projection_dim=32,
    )
    return transformers.CLIPModel(config), transformers.CLIPProcessor(
        CLIPImageProcessorPil(), tokens
    )


def sam() -> tuple:
    config = transformers.SamConfig(
        vision_config={
            "hidden_size": 32,
            "output_channels": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "global_attn_indexes": [],
            "num_pos_feats": 16,
        },
        prompt_encoder_config={"hidden_size": 32},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 32, "iou_head_hidden_dim": 32},
    )
    model = transformers.SamModel(config)
    model.mask_decoder.iou_prediction_head.proj_out.bias.data += 0.9  # sure of its masks
    return model, transformers.SamProcessor(SamImageProcessorPil())


def detr() -> tuple:
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    # Away from the Hub the examples are ours, so it must know the names in them.
    rows = (ROOT / "assets/images/toytown/metadata.jsonl").read_text("utf-8").splitlines()
    names = sorted({name for row in rows for name in json.loads(row)["objects"]["category"]})
    config = transformers.DetrConfig(
        num_queries=8,
        backbone_config=backbone,
        use_timm_backbone=False,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    model = transformers.DetrForObjectDetection(config)
    model.class_labels_classifier.bias.data[1] = 10  # it finds something, whatever it is shown
    return model, DetrImageProcessorPil()


def clap() -> tuple:
    """Ten seconds, a thousand frames of 64 bands, as on the Hub; Roberta's kind of tokenizer."""
    tokens = transformers.AutoTokenizer.from_pretrained(ROOT / "assets/checkpoints/listener")
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"intermediate_size": 32, "vocab_size": len(tokens), "pad_token_id": 1}
    audio = {"patch_embeds_hidden_size": 16, "depths": [1, 1, 1, 1], "hidden_size": 128}
    audio |= {"num_attention_heads": [1, 1, 2, 2]}
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=32)
    hearing = transformers.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad")
    return transformers.ClapModel(config), transformers.ClapProcessor(hearing, tokens)


def whisper() -> tuple:
    """Ours: its window, bands and kinds of tokens are those of the Hub's."""
    folder = ROOT / "assets/checkpoints/transcriber"
    return (
        transformers.WhisperForConditionalGeneration.from_pretrained(folder),
        transformers.WhisperProcessor.from_pretrained(folder),
    )


def vits() -> tuple:
    """One speaker, and blanks between the letters, as facebook/mms-tts-eng has."""
    letters = ["<pad>", "<unk>", *" abcdefghijklmnopqrstuvwxyz'-"]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({letter: i for i, letter in enumerate(letters)}, file)
        file.flush()
        tokens = transformers.VitsTokenizer(
            file.name, add_blank=True, normalize=True, phonemize=False
        )
    config = transformers.VitsConfig(
        vocab_size=len(letters),
        hidden_size=32,
        num_hidden_layers=1,
        ffn_dim=32,
        flow_size=32,
        spectrogram_bins=65,
        upsample_initial_channel=64,
        prior_encoder_num_flows=2,
        prior_encoder_num_wavenet_layers=1,
        posterior_encoder_num_wavenet_layers=1,
        duration_predictor_num_flows=2,
    )
    return transformers.VitsModel(config), tokens


TEXT = "the cat said that my name is Rosa and the station opens at nine o'clock . ? ! , "
WRITER = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 512}
WRITER |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
WRITER |= {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32}


def blenderbot_small() -> tuple:
    """Its tokenizer is its own: lower case, pieces that go on end in @@."""
    letters = [chr(code) for code in range(33, 127)]
    vocab = ["__null__", "__start__", "__end__", "__unk__", *letters, *(f"{c}@@" for c in letters)]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, "vocab.json"), Path(folder, "merges.txt")]
        files[0].write_text(json.dumps({token: i for i, token in enumerate(vocab)}))
        files[1].write_text("#version: 0.2\nt h\n")
        tokens = transformers.BlenderbotSmallTokenizer(*map(str, files), model_max_length=512)
    config = transformers.BlenderbotSmallConfig(vocab_size=len(vocab), **WRITER)
    return transformers.BlenderbotSmallForConditionalGeneration(config), tokens


def m2m100() -> tuple:
    """A sentencepiece model of a few pieces, and the codes of a hundred languages, as __fr__."""
    with tempfile.TemporaryDirectory() as folder:
        model, vocab = Path(folder, "sentencepiece.bpe.model"), Path(folder, "vocab.json")
        options = {"vocab_size": 60, "model_type": "bpe", "minloglevel": 2}
        lines = iter(TEXT.split() * 20)
        with model.open("wb") as file:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=lines, model_writer=file, **options
            )
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
        known = ["<s>", "<pad>", "</s>", "<unk>"]
        known += [pieces.id_to_piece(i) for i in range(3, len(pieces))]
        vocab.write_text(json.dumps({piece: i for i, piece in enumerate(known)}))
        tokens = transformers.M2M100Tokenizer(str(vocab), str(model))
        config = transformers.M2M100Config(vocab_size=len(known) + 110, **WRITER)
        return transformers.M2M100ForConditionalGeneration(config), tokens


def distilbart() -> tuple:
    """BART's kind of tokenizer is ours; more layers that read than write."""
    tokens = transformers.AutoTokenizer.from_pretrained(ROOT / "assets/checkpoints/summarizer")
    config = transformers.BartConfig(vocab_size=len(tokens), **(WRITER | {"encoder_layers": 2}))
    return transformers.BartForConditionalGeneration(config), tokens


def smollm() -> tuple:
    """Llama with fewer key heads than query heads, as SmolLM2 has; ChatML is our template, too."""
    tokens = transformers.AutoTokenizer.from_pretrained(ROOT / "assets/checkpoints/assistant")
    sizes = {"hidden_size": 36, "intermediate_size": 32, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 3, "num_key_value_heads": 1, "tie_word_embeddings": True}
    sizes |= {"max_position_embeddings": 512}  # with random weights no answer ends before it
    ends = {"bos_token_id": tokens.bos_token_id, "eos_token_id": tokens.eos_token_id}
    config = transformers.LlamaConfig(vocab_size=len(tokens), **sizes, **ends)
    return transformers.LlamaForCausalLM(config), tokens


MAKERS = {
    "chatbot": blenderbot_small,
    "translator": m2m100,
    "summarizer": distilbart,
    "assistant": smollm,
    "detector": detr,
    "segmenter": sam,
    "classifier": clip,
    "listener": clap,
    "transcriber": whisper,
    "speaker": vits,
}


def save(folder: Path, roles: Iterable[str]) -> None:
    """Write the checkpoints of these roles as a local Hub's `--more` reads them.

    The embedder stands on its shelf under its own name: the genuine one, the same on every tier.
    """
    torch.manual_seed(0)
    for role in sorted(set(roles) - {"embedder"}):
        facts = checkpoints.row(role, "small")
        place = folder / "models" / f"{facts['id']}@{facts['revision']}"
        model, processor = MAKERS[role]() if role in MAKERS else blip(role)
        model.save_pretrained(place)
        processor.save_pretrained(place)
