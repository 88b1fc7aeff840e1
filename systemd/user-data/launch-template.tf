# SPDX-License-Identifier: GPL-3.0-or-later
#
# An Amazon ECS container instance that batten guards from its first boot on. Beside it, the script.

variable "cluster" {
  type = string
}

variable "batten_package" {
  type        = string
  description = "s3://BUCKET/KEY; the instance's role may read it"
}

variable "batten_sha256" {
  type        = string
  description = "SHA-256 of the package"
}

variable "instance_profile" {
  type = string
}

data "aws_ssm_parameter" "ecs_image" {
  name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
}

resource "aws_launch_template" "ecs" {
  name_prefix   = "ecs-batten-"
  image_id      = data.aws_ssm_parameter.ecs_image.value
  instance_type = "m7i.large"

  iam_instance_profile {
    name = var.instance_profile
  }

  # Tokens only, and their answers do not travel past the host: what batten closes stays hard to reach
  # even where somebody opens it.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # A boothook runs before Docker and the ECS agent start, at each boot.
  user_data = base64encode(join("\n", [
    "#cloud-boothook",
    "#!/bin/sh",
    "mkdir -p /etc/ecs",
    "grep -q '^ECS_CLUSTER=' /etc/ecs/ecs.config 2>/dev/null || echo 'ECS_CLUSTER=${var.cluster}' >>/etc/ecs/ecs.config",
    "export BATTEN_SOURCE='${var.batten_package}' BATTEN_SHA256='${var.batten_sha256}'",
    file("${path.module}/batten-boot.sh"),
  ]))
}
