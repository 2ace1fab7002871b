"""I3D, C3D and LPIPS written once more in PyTorch, from state dicts of the public layouts; and made-up state dicts."""

import numpy as np

MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


def i3d_state(divisor=16, classes=12, seed=0):
    """piergiaj's layout, random, with all channels divided."""
    rng = np.random.default_rng(seed)
    state = {}

    def unit(name, inputs, outputs, size):
        outputs //= divisor
        fan = inputs * size**3
        state[f"{name}.conv3d.weight"] = rng.normal(size=(outputs, inputs, *[size] * 3)) * (2 / fan) ** 0.5
        state[f"{name}.bn.weight"] = np.ones(outputs)
        state[f"{name}.bn.bias"] = rng.normal(size=outputs) * 0.2 + 0.2
        state[f"{name}.bn.running_mean"] = rng.normal(size=outputs) * 0.2
        state[f"{name}.bn.running_var"] = rng.uniform(0.5, 1.5, size=outputs)
        state[f"{name}.bn.num_batches_tracked"] = np.array(7)
        return outputs

    width = unit("Conv3d_1a_7x7", 3, 64, 7)
    width = unit("Conv3d_2b_1x1", width, 64, 1)
    width = unit("Conv3d_2c_3x3", width, 192, 3)
    for block, (b0, b1a, b1b, b2a, b2b, b3b) in MIXED.items():
        ends = [unit(f"{block}.b0", width, b0, 1)]
        ends.append(unit(f"{block}.b1b", unit(f"{block}.b1a", width, b1a, 1), b1b, 3))
        ends.append(unit(f"{block}.b2b", unit(f"{block}.b2a", width, b2a, 1), b2b, 3))
        ends.append(unit(f"{block}.b3b", width, b3b, 1))
        width = sum(ends)
    state["logits.conv3d.weight"] = rng.normal(size=(classes, width, 1, 1, 1)) / width**0.5
    state["logits.conv3d.bias"] = rng.normal(size=classes)
    return {name: np.asarray(array, "int64" if array.ndim == 0 else "float32") for name, array in state.items()}


def flax_names(state):
    """The same arrays under the names and in the layout of the MAGVIT authors' file."""
    branches = {
        "b0": "Branch_0.Conv3d_0a_1x1",
        "b1a": "Branch_1.Conv3d_0a_1x1",
        "b1b": "Branch_1.Conv3d_0b_3x3",
        "b2a": "Branch_2.Conv3d_0a_1x1",
        "b2b": "Branch_2.Conv3d_0b_3x3",
        "b3b": "Branch_3.Conv3d_0b_1x1",
        "logits": "Logits.Conv3d_0c_1x1",
    }
    leaves = {
        "conv3d.weight": ("conv_3d", "kernel"),
        "conv3d.bias": ("conv_3d", "bias"),
        "bn.bias": ("batch_norm", "beta"),
        "bn.running_mean": ("batch_norm", "moving_mean"),
        "bn.running_var": ("batch_norm", "moving_variance"),
    }
    tree = {}
    for name, array in state.items():
        *path, kind, leaf = name.split(".")
        if f"{kind}.{leaf}" not in leaves:
            continue
        at = tree
        for part in (*(branches.get(part, part) for part in path), leaves[f"{kind}.{leaf}"][0]):
            at = at.setdefault(part, {})
        at[leaves[f"{kind}.{leaf}"][1]] = array.transpose(2, 3, 4, 1, 0) if array.ndim == 5 else array
    return {"params": tree}


def tf_hub_names(state):
    """The same arrays under the names of TF-Hub's module, DeepMind's slip in Mixed_5b included."""
    flat = {}
    for block, units in flax_names(state)["params"].items():
        for name, parts in units.items() if block.startswith("Mixed") else [("", units)]:
            for kind, leaves in parts.items():
                for leaf, array in leaves.items():
                    path = "/".join(part for part in (block, name, kind) if part).replace(".", "/")
                    if block == "Mixed_5b":
                        path = path.replace("Branch_2/Conv3d_0b_3x3", "Branch_2/Conv3d_0a_3x3")
                    leaf = {"kernel": "w", "bias": "b"}.get(leaf, leaf)
                    if kind == "batch_norm":  # (1, 1, 1, 1, C) there
                        array = array.reshape(1, 1, 1, 1, -1)
                    flat[f"RGB/inception_i3d/{path}/{leaf}"] = array
    return flat


def scripted_names(state):
    """The same arrays under the names inside StyleGAN-V's TorchScript file, those of kinetics_i3d_pytorch."""
    branches = {"b0": "0", "b1a": "1.0", "b1b": "1.1", "b2a": "2.0", "b2b": "2.1", "b3b": "3.1"}
    names = {}
    for name, array in state.items():
        block, *branch, kind, leaf = name.split(".")
        block = "conv3d_0c_1x1" if block == "logits" else block[0].lower() + block[1:]
        path = [block, *(f"branch_{branches[part]}" for part in branch), kind.replace("bn", "batch3d"), leaf]
        names[".".join(path)] = array
    return names


def torch_i3d(state, video, size=32):
    """Clips (B, T, H, W, 3) in [0, 1], already of the network's size, to logits."""
    import torch
    import torch.nn.functional as F

    state = {name: torch.tensor(array) for name, array in state.items()}

    def padded(x, window, stride, value):
        total = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[2:], window, stride, strict=True)]
        pads = [p for t in reversed(total) for p in (t // 2, t - t // 2)]
        return F.pad(x, pads, value=value)

    def unit(x, name, stride=1):
        weight = state[f"{name}.conv3d.weight"]
        x = F.conv3d(padded(x, weight.shape[2:], (stride,) * 3, 0.0), weight, stride=stride)
        stats = (state[f"{name}.bn.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, *stats, eps=1e-3))

    def pool(x, window, stride):
        return F.max_pool3d(padded(x, window, stride, -torch.inf), window, stride)

    x = torch.tensor(video).permute(0, 4, 1, 2, 3) * 2 - 1
    x = pool(unit(x, "Conv3d_1a_7x7", 2), (1, 3, 3), (1, 2, 2))
    x = pool(unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3"), (1, 3, 3), (1, 2, 2))
    for block in MIXED:
        if block == "Mixed_4b":
            x = pool(x, (3, 3, 3), (2, 2, 2))
        if block == "Mixed_5b":
            x = pool(x, (2, 2, 2), (2, 2, 2))
        x = torch.cat(
            [
                unit(x, f"{block}.b0"),
                unit(unit(x, f"{block}.b1a"), f"{block}.b1b"),
                unit(unit(x, f"{block}.b2a"), f"{block}.b2b"),
                unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{block}.b3b"),
            ],
            dim=1,
        )
    x = F.avg_pool3d(x, (2, size // 32, size // 32), stride=1)
    x = F.conv3d(x, state["logits.conv3d.weight"], state["logits.conv3d.bias"])
    return x.squeeze(-1).squeeze(-1).mean(dim=2).numpy()


C3D_LAYERS = {
    "conv1a": (3, 0),
    "conv2a": (0, 1),
    "conv3a": (1, 2),
    "conv3b": (2, 2),
    "conv4a": (2, 3),
    "conv4b": (3, 3),
    "conv5a": (3, 3),
    "conv5b": (3, 3),
}


def c3d_state(filters=(3, 4, 5, 6), hidden=8, classes=7, edge=1, seed=0):
    """PyTorch's layout, random."""
    rng = np.random.default_rng(seed)
    shapes = {}
    for name, (inner, outer) in C3D_LAYERS.items():
        shapes[name] = (filters[outer], 3 if name == "conv1a" else filters[inner], 3, 3, 3)
    units = filters[3] * edge * edge
    shapes |= {"fc6": (hidden, units), "fc7": (hidden, hidden), "fc8": (classes, hidden)}
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = rng.normal(size=shape) * (2 / np.prod(shape[1:])) ** 0.5
        state[f"{name}.bias"] = rng.normal(size=shape[0]) * 0.1
    return {name: array.astype("float32") for name, array in state.items()}


def torch_c3d(state, offset, video):
    """Clips (B, 16, H, W, 3) in [0, 1], already of the network's size, and the offset (16, H, W, 3), to logits."""
    import torch
    import torch.nn.functional as F

    state = {name: torch.tensor(array) for name, array in state.items()}
    x = torch.tensor(video[..., ::-1] * 255 + offset).permute(0, 4, 1, 2, 3)
    for name in C3D_LAYERS:
        x = F.relu(F.conv3d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1))
        if name == "conv5b":
            x = F.pad(x, (0, 1, 0, 1))
        if name == "conv1a":
            x = F.max_pool3d(x, (1, 2, 2))
        elif name not in ("conv3a", "conv4a", "conv5a"):
            x = F.max_pool3d(x, 2)
    x = x.flatten(1)
    for name in ("fc6", "fc7"):
        x = F.relu(F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"]))
    return F.linear(x, state["fc8.weight"], state["fc8.bias"]).numpy()


VGG16 = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
ALEXNET = ((0,), (3,), (6,), (8,), (10,))
WIDTHS = {"vgg16": (64, 128, 256, 512, 512), "alexnet": (64, 192, 384, 256, 256)}


def lpips_states(trunk, divisor=16, seed=0):
    """torchvision's and the `lpips` package's layouts, random."""
    rng = np.random.default_rng(seed)
    state, heads, inner = {}, {}, 3
    for i, (stage, width) in enumerate(zip({"vgg16": VGG16, "alexnet": ALEXNET}[trunk], WIDTHS[trunk], strict=True)):
        width //= divisor
        for index in stage:
            size = {0: 11, 3: 5}.get(index, 3) if trunk == "alexnet" else 3
            state[f"features.{index}.weight"] = rng.normal(size=(width, inner, size, size)) * (2 / inner) ** 0.5 / size
            state[f"features.{index}.bias"] = rng.normal(size=width) * 0.1
            inner = width
        heads[f"lin{i}.model.1.weight"] = rng.random((1, width, 1, 1))
    state["classifier.0.weight"] = np.zeros((4, 4))
    return [{name: array.astype("float32") for name, array in part.items()} for part in (state, heads)]


def torch_lpips(trunk, state, heads, real, generated):
    """Frames (N, H, W, 3) in [0, 1] to distances (N,)."""
    import torch
    import torch.nn.functional as F

    def features(frames):
        shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
        x = ((torch.tensor(frames) * 2 - 1 - shift) / scale).permute(0, 3, 1, 2)
        for i, stage in enumerate({"vgg16": VGG16, "alexnet": ALEXNET}[trunk]):
            if i and (trunk == "vgg16" or i < 3):
                x = F.max_pool2d(x, 2 if trunk == "vgg16" else 3, 2)
            for index in stage:
                weight, bias = (torch.tensor(state[f"features.{index}.{leaf}"]) for leaf in ("weight", "bias"))
                first = weight.shape[-1] == 11
                x = F.relu(F.conv2d(x, weight, bias, 4 if first else 1, 2 if first else weight.shape[-1] // 2))
            yield x / x.norm(dim=1, keepdim=True).clamp_min(1e-10)

    total = 0
    for i, (a, b) in enumerate(zip(features(real), features(generated), strict=True)):
        total = total + F.conv2d((a - b) ** 2, torch.tensor(heads[f"lin{i}.model.1.weight"])).mean(dim=(1, 2, 3))
    return total.numpy()
